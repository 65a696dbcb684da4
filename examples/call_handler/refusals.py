"""What the database refuses, as an answer: it says a code, a sentence and, as SQLSTATE PTxyz, the HTTP status."""

import re
from typing import NoReturn

import psycopg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError

from workers.signing_keys import KeysUnavailable
from workers.telemetry import log
from workers.tokens import TokenRefused

_SAID = re.compile(r"([a-z]+(?:_[a-z]+)+): (.+)", re.DOTALL)
_STATES = {"42501": 403, "22023": 422, "22P02": 422}
_log = log("api")


class Refusal(Exception):
    """``status``, and a body of ``code`` and ``message``."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def not_found(what: str) -> NoReturn:
    """Also for another organisation's: the two cannot be told apart."""
    raise Refusal(404, f"{what}_not_found", f"no such {what}")


def install(app: FastAPI) -> None:
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(DBAPIError, _by_the_database)
    app.add_exception_handler(TokenRefused, _unauthorized)
    app.add_exception_handler(KeysUnavailable, _keys_away)


def _answer(status: int, code: str, message: str, **headers: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status, headers)


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for it
    return _answer(error.status, error.code, error.message)


def _by_the_database(_: Request, error: Exception) -> JSONResponse:
    """A refusal in its own words; anything else is ours to look into, and its words may hold values."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, psycopg.errors.UndefinedFunction | psycopg.errors.UndefinedTable):
        return _answer(501, "not_available", "this database has no such function: recordings migrate brings it")
    if isinstance(cause, psycopg.OperationalError):
        return _answer(503, "try_again", "the database cannot be reached", **{"Retry-After": "5"})
    state = getattr(cause, "sqlstate", None) or ""
    said = _SAID.fullmatch(cause.diag.message_primary or "") if isinstance(cause, psycopg.Error) else None
    if said is not None:
        status = int(state[2:]) if state.startswith("PT") else _STATES.get(state, 422)
        return _answer(status, said[1], said[2])
    _log.error("request_failed", error=type(cause).__name__, sqlstate=state)
    return _answer(500, "failed", "something went wrong here")


def _unauthorized(_: Request, __: Exception) -> JSONResponse:
    return _answer(401, "unauthorized", "sign in with a valid token", **{"WWW-Authenticate": "Bearer"})


def _keys_away(_: Request, __: Exception) -> JSONResponse:
    return _answer(503, "try_again", "tokens cannot be checked now", **{"Retry-After": "5"})

"""The database's logins: whether each can come in with its password, and with that only."""

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from schema import roles
from workers.doctor.database import ask, connect
from workers.doctor.result import Result, ok, unseen, warning, wrong

_PASSWORDS = "SELECT rolname, coalesce(left(rolpassword, 6), '') FROM pg_authid WHERE rolname = ANY(%s)"
_SET = "run: recordings migrate, with its RECORDINGS_…_PASSWORD set"
_NEEDED = {roles.DISPATCHER, roles.WORKER}


def check(connection: psycopg.Connection[Any], dsn: str, passwords: Mapping[str, str]) -> Iterator[Result]:
    rows = ask(connection, _PASSWORDS, list(roles.LOGINS))
    if rows is None:
        yield unseen("logins.passwords", "not checked: only a superuser sees whether passwords are set")
    else:
        yield from judge_passwords(dict(rows))
    yield _any_password(dsn)
    for login in roles.LOGINS:
        if login in passwords:
            yield _comes_in(dsn, login, passwords[login])


def judge_passwords(verifiers: Mapping[str, str]) -> Iterator[Result]:
    """The beginnings of what is stored. Logins that are missing are the static checks' to say."""
    for login, verifier in verifiers.items():
        if not verifier:
            judge = wrong if login in _NEEDED else warning
            yield judge("logins.passwords", f"{login} has no password: it cannot log in", _SET)
        elif not verifier.startswith("SCRAM-"[: len(verifier)]):
            yield wrong("logins.passwords", f"{login}'s password is kept as MD5, which opens by itself", _SET)
    if verifiers and all(verifier.startswith("SCRAM-") for verifier in verifiers.values()):
        yield ok("logins.passwords", f"{len(verifiers)} logins have passwords, kept as SCRAM verifiers")


def _any_password(dsn: str) -> Result:
    """As somebody who knows the name and not the password."""
    try:
        connect(dsn, user=roles.WORKER, password=secrets.token_urlsafe(24)).close()
    except psycopg.OperationalError:
        return ok("logins.guarded", "a wrong password is refused")
    return wrong(
        "logins.guarded",
        f"{roles.WORKER} gets in with any password: pg_hba.conf says trust",
        "say scram-sha-256 in pg_hba.conf, and reload",
    )


def _comes_in(dsn: str, login: str, password: str) -> Result:
    try:
        connect(dsn, user=login, password=password).close()
    except psycopg.OperationalError:
        return wrong(f"logins.{login}", f"{login} cannot log in with the password that is set here", _SET)
    return ok(f"logins.{login}", f"{login} logs in")

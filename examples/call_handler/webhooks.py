"""Providers' webhooks: verified, read, and taken in by one statement in one transaction, as ``call_handler``.

A provider takes 2xx as delivered, and tells again after anything else (or never, Vapi's default): so a delivery is
answered only when the database has it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from examples.call_handler.deliveries import BadDelivery, Delivery, read_twilio, read_vapi
from examples.call_handler.settings import AppSettings
from examples.call_handler.signatures import Received, SignatureRefused, verify_twilio, verify_vapi
from workers.telemetry import log

_MOST_BYTES = 8 * 1024 * 1024  # a report brings the transcript along
_ARGUMENTS = ", ".join(f"{name} => :{name}" for name in Delivery.model_fields)
_RECEIVE = text(f"SELECT call_id, upload_id, created, unclaimed_id FROM public.receive_call({_ARGUMENTS})")
_log = log("webhooks")

Read = Callable[[Received], Delivery | None]


@dataclass(frozen=True, slots=True)
class Webhooks:
    """``engine`` logs in as call_handler, which can read nothing."""

    engine: Engine
    settings: AppSettings

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/webhooks")
        router.add_api_route("/vapi", self._vapi, methods=["POST"])
        router.add_api_route("/twilio", self._twilio, methods=["POST"])
        return router

    async def _vapi(self, request: Request) -> JSONResponse:
        def read(received: Received) -> Delivery | None:
            window_s = self.settings.webhook_window_s
            verify_vapi(received, self.settings.secrets_of("vapi"), now_s=time.time(), window_s=window_s)
            return read_vapi(received.body)

        return await self._answer(request, "vapi", read)

    async def _twilio(self, request: Request) -> JSONResponse:
        def read(received: Received) -> Delivery | None:
            verify_twilio(received, self.settings.secrets_of("twilio"), now_s=time.time())
            return read_twilio(received.url, received.form)

        return await self._answer(request, "twilio", read)

    async def _answer(self, request: Request, provider: str, read: Read) -> JSONResponse:
        if not self.settings.secrets_of(provider):
            return _refuse(404, "not_configured", provider)
        body = await _body(request)
        if body is None:
            return _refuse(413, "too_large", provider)
        try:
            delivery = read(self._received(request, body))
        except SignatureRefused as refused:
            _log.warning("webhook_refused", provider=provider, check=str(refused))
            return JSONResponse({"code": "signature_refused"}, 401)
        except BadDelivery as bad:
            return _refuse(422, str(bad), provider)
        if delivery is None:
            return JSONResponse({"status": "ignored"})
        return await run_in_threadpool(self._take_in, delivery)

    def _received(self, request: Request, body: bytes) -> Received:
        query = request.scope["query_string"].decode("latin-1")
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1").partition("?")[0]
        url = f"{self.settings.public_url}{path}" + (f"?{query}" if query else "")
        return Received(url, dict(request.headers), body)

    def _take_in(self, delivery: Delivery) -> JSONResponse:
        """The call and the upload, or the kept call: there when this answers, whole or not at all."""
        try:
            with self.engine.begin() as connection:
                row = connection.execute(_RECEIVE, delivery.model_dump()).one()
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.errors.InvalidParameterValue | psycopg.errors.DataError):
                return _refuse(422, "bad_argument", delivery.provider)
            # Its message repeats the statement's values.
            _log.error("webhook_failed", provider=delivery.provider, error=type(error.orig).__name__)
            return JSONResponse({"code": "try_again"}, 503, {"Retry-After": "5"})
        if row.unclaimed_id is not None:
            _log.warning("webhook_unclaimed", provider=delivery.provider, unclaimed_id=str(row.unclaimed_id))
            return JSONResponse({"status": "kept"}, 202)
        return JSONResponse({"status": "enqueued" if row.created else "known"})


async def _body(request: Request) -> bytes | None:
    """None if there is more of it than any report has."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return None
    return bytes(body)


def _refuse(status: int, code: str, provider: str) -> JSONResponse:
    _log.warning("webhook_refused", provider=provider, check=code)
    return JSONResponse({"code": code}, status)

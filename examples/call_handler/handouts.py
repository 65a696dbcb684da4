"""Recordings that leave: one by a link, many as a ZIP. Asked for in SQL, made by a worker, fetched from the store."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as SQL_UUID

from examples.call_handler.identity import Doorkeeper, as_id
from examples.call_handler.refusals import Refusal, not_found
from workers.tokens import User

#: Tells who asked for which request, so that its changes are told to them.
Asked = Callable[[UUID, User], None]

_ASK = text("SELECT public.request_recording_download(:call_id, :reason)")
_ASK_IN_A_FORMAT = text("SELECT public.request_recording_download(:call_id, :reason, :format)")
_DOWNLOAD = text("""
SELECT d.id, d.call_id, d.status, d.url, d.error_code, d.expires_at, d.sha256
FROM public.recording_downloads AS d WHERE d.id = :id
""")
_EXPORT_THESE = text("SELECT public.request_recording_export(:call_ids, :reason)").bindparams(
    bindparam("call_ids", type_=ARRAY(SQL_UUID))
)
_EXPORT = text("""
SELECT e.id, e.status, e.recordings_total, e.recordings_done, e.size_bytes, e.sha256, e.error_code, e.expires_at,
    (SELECT d.url FROM public.recording_downloads AS d
     WHERE d.export_id = e.id AND d.status = 'ready' LIMIT 1) AS url
FROM public.recording_exports AS e WHERE e.id = :id
""")
_WAITING = {"requested", "processing"}

Reason = Annotated[str, Field(min_length=1, max_length=500)]


class DownloadRequest(BaseModel):
    reason: Reason
    format: Annotated[str, Field(pattern="^(mp3|ogg|flac|wav)$")] | None = None


class ExportRequest(BaseModel):
    reason: Reason
    call_ids: Annotated[list[UUID], Field(min_length=1, max_length=10_000)]


def router(door: Doorkeeper, asked: Asked) -> APIRouter:
    router = APIRouter(prefix="/api")
    Asker = Annotated[User, Depends(door.user)]  # noqa: N806 - a type

    def ask(user: User, statement: TextClause, values: Mapping[str, Any], where: str) -> JSONResponse:
        with door.acting_as(user) as connection:
            made = connection.execute(statement, values).scalar_one()
            # Before the commit that tells of it.
            asked(made, user)
        return JSONResponse({"id": str(made), "status": "requested"}, 202, {"Location": f"/api/{where}/{made}"})

    def look(user: User, statement: TextClause, text_id: str, what: str) -> JSONResponse:
        wanted = as_id(text_id, what)
        with door.acting_as(user) as connection:
            row = connection.execute(statement, {"id": wanted}).mappings().one_or_none()
        return state(dict(row), what) if row is not None else not_found(what)

    @router.post("/calls/{call_id}/download")
    def download(call_id: str, wanted: DownloadRequest, user: Asker) -> JSONResponse:
        values = {"call_id": as_id(call_id, "call"), "reason": wanted.reason}
        if wanted.format is None:
            return ask(user, _ASK, values, "downloads")
        return ask(user, _ASK_IN_A_FORMAT, values | {"format": wanted.format}, "downloads")

    @router.get("/downloads/{download_id}")
    def download_state(download_id: str, user: Asker) -> JSONResponse:
        return look(user, _DOWNLOAD, download_id, "download")

    @router.post("/exports")
    def export(wanted: ExportRequest, user: Asker) -> JSONResponse:
        return ask(user, _EXPORT_THESE, {"call_ids": wanted.call_ids, "reason": wanted.reason}, "exports")

    @router.get("/exports/{export_id}")
    def export_state(export_id: str, user: Asker) -> JSONResponse:
        return look(user, _EXPORT, export_id, "export")

    return router


def state(row: Mapping[str, Any], what: str) -> JSONResponse:
    """202 until it is ready, 200 with the link, 410 when its time is over, 409 with the code where none will come."""
    status = row["status"]
    if status in {"expired", "revoked"}:
        raise Refusal(410, f"{what}_{status}", f"this {what} is over: ask for a new one")
    if status == "failed":
        raise Refusal(409, row["error_code"] or f"{what}_failed", f"there will be no {what}: an operator has to look")
    if status in _WAITING:
        return JSONResponse(jsonable_encoder(row), 202, {"Retry-After": "1"})
    return JSONResponse(jsonable_encoder(row))

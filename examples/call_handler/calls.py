"""A user's calls: no WHERE says whose, the policies do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection, text

from examples.call_handler.identity import Doorkeeper, as_id
from examples.call_handler.refusals import not_found
from workers.tokens import User

MOST = 200

_COLUMNS = """
SELECT c.id, c.provider, c.direction, c.from_number, c.to_number, c.started_at, c.duration_s, c.recording_status,
    c.recording_format, c.recording_size_bytes, c.recording_sha256, c.recording_uploaded_at,
    CASE WHEN c.recording_status IS DISTINCT FROM 'completed' THEN (
        SELECT q.error_code FROM public.recording_upload_queue AS q
        WHERE q.org_id = c.org_id AND q.call_id = c.id ORDER BY q.created_at DESC LIMIT 1) END AS error_code
FROM public.call_logs AS c
"""
_NEWEST = text(
    _COLUMNS + "WHERE CAST(:before AS timestamptz) IS NULL OR c.started_at < :before "
    "ORDER BY c.started_at DESC, c.id DESC LIMIT :most"
)
_ONE = text(_COLUMNS + "WHERE c.id = :id")
_SELF = text("""
SELECT name, to_regproc('public.request_recording_export') IS NOT NULL AS exports
FROM public.organizations
""")


def newest(connection: Connection, *, most: int = MOST, before: datetime | None = None) -> list[Mapping[str, Any]]:
    """The newest first; those of which no beginning is known come before."""
    return [dict(row) for row in connection.execute(_NEWEST, {"most": most, "before": before}).mappings()]


def router(door: Doorkeeper) -> APIRouter:
    router = APIRouter(prefix="/api")
    Asker = Annotated[User, Depends(door.user)]  # noqa: N806 - a type

    @router.get("/me")
    def me(user: Asker) -> Any:
        with door.acting_as(user) as connection:
            row = connection.execute(_SELF).one_or_none()
        if row is None:
            not_found("organization")
        return {"organization": row.name, "user_id": user.user_id, "exports": row.exports}

    @router.get("/calls")
    def calls(user: Asker, limit: Annotated[int, Query(ge=1, le=MOST)] = 50, before: datetime | None = None) -> Any:
        with door.acting_as(user) as connection:
            return {"calls": newest(connection, most=limit, before=before)}

    @router.get("/calls/{call_id}")
    def call(call_id: str, user: Asker) -> Any:
        wanted = as_id(call_id, "call")
        with door.acting_as(user) as connection:
            row = connection.execute(_ONE, {"id": wanted}).mappings().one_or_none()
        return dict(row) if row is not None else not_found("call")

    return router

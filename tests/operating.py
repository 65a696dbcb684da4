"""Uploads that failed, what an operator does about them in SQL, and the trail of it."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.desk import Desk
from workers.errors import SourceForbidden, SourceTimeout
from workers.retry import GiveUp, Reschedule
from workers.uploads import Upload

LATER = datetime(2040, 1, 1, tzinfo=UTC)


def retry(desk: Desk, named: UUID, reason: str = "the provider was told") -> str:
    return _call(desk, "SELECT public.retry_failed_upload(id => %s, reason => %s)", named, reason)


def discard(desk: Desk, named: UUID, reason: str = "a test call") -> str:
    return _call(desk, "SELECT public.discard_failed_upload(id => %s, reason => %s)", named, reason)


def _call(desk: Desk, statement: str, *parameters: Any) -> str:
    with desk.database.connect("recording_ops") as connection:
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return str(row[0])


def audit(desk: Desk, upload_id: UUID) -> list[Any]:
    return desk.database.all(
        "SELECT action, actor, org_id, reason, detail FROM audit_log WHERE subject_id = %s ORDER BY id", upload_id
    )


def given_up(desk: Desk, **more: Any) -> UUID:
    upload = desk.claimed(**more)
    desk.worker().fail(desk.grant, upload, SourceForbidden(), GiveUp(), total_ms=1)
    return upload.id


def waiting(desk: Desk) -> UUID:
    upload = desk.claimed()
    desk.worker().fail(desk.grant, upload, SourceTimeout(), Reschedule(LATER), total_ms=1)
    return upload.id


def claim(desk: Desk, upload_id: UUID) -> Upload:
    upload = desk.worker().claim(desk.grant, upload_id)
    assert upload is not None
    return upload

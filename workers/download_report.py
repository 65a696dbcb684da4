"""What left, and who asked for it, over all organisations, as operators see it; and taking a link away. Runs as
recording_ops, which cannot read a link."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

_LIST = """
SELECT id, org_id, call_id, requested_by, reason, kind, status, error_code, created_at, expires_at
FROM public.recording_downloads
WHERE (%(org_id)s::uuid IS NULL OR org_id = %(org_id)s) AND (%(call_id)s::uuid IS NULL OR call_id = %(call_id)s)
ORDER BY created_at DESC, id LIMIT %(limit)s
"""

_LIST_EXPORTS = """
SELECT id, org_id, requested_by, reason, status, error_code, recordings_done, recordings_total, size_bytes, sha256,
       created_at, expires_at
FROM public.recording_exports
WHERE %(org_id)s::uuid IS NULL OR org_id = %(org_id)s ORDER BY created_at DESC, id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Download:
    """A row of recording_downloads, without its link."""

    id: UUID
    org_id: UUID
    call_id: UUID
    requested_by: UUID
    reason: str
    kind: str
    status: str
    error_code: str | None
    created_at: datetime
    expires_at: datetime | None


def read_downloads(
    connection: psycopg.Connection[Any], *, org_id: UUID | None, call_id: UUID | None, limit: int
) -> Sequence[Download]:
    """The newest first."""
    wanted = {"org_id": org_id, "call_id": call_id, "limit": limit}
    return [Download(*row) for row in connection.execute(_LIST, wanted).fetchall()]


@dataclass(frozen=True, slots=True)
class Export:
    """A row of recording_exports: ``size_bytes`` and ``sha256`` are the ZIP's."""

    id: UUID
    org_id: UUID
    requested_by: UUID
    reason: str
    status: str
    error_code: str | None
    recordings_done: int
    recordings_total: int
    size_bytes: int | None
    sha256: str | None
    created_at: datetime
    expires_at: datetime | None


def read_exports(connection: psycopg.Connection[Any], *, org_id: UUID | None, limit: int) -> Sequence[Export]:
    """The newest first."""
    return [Export(*row) for row in connection.execute(_LIST_EXPORTS, {"org_id": org_id, "limit": limit}).fetchall()]


def revoke(connection: psycopg.Connection[Any], download_id: UUID, reason: str, actor: str) -> str:
    """``revoked``, ``already_over`` or ``not_found``. A mistake is psycopg's error, in plain words."""
    with connection.transaction():
        connection.execute("SELECT set_config('app.actor', %s, true)", (actor,))
        row = connection.execute("SELECT public.revoke_recording_download(%s, %s)", (download_id, reason)).fetchone()
    assert row is not None  # noqa: S101 - a function returns something
    return str(row[0])

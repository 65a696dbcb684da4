"""What sweeps found, over all organisations, as operators see it; and asking for a sweep. Runs as recording_ops."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from workers.sweep import Action, Code

#: What somebody has lost, unless it was brought back.
LOSSES = frozenset({Code.MISSING, Code.DIFFERS})

_FOUND = """
SELECT f.org_id, f.code, f.action, f.object_key, f.upload_id, f.first_seen_at, f.last_seen_at, f.resolved_at
FROM app.storage_findings AS f
WHERE (f.resolved_at IS NULL OR %(resolved)s)
  AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s) AND (%(code)s::text IS NULL OR f.code = %(code)s)
ORDER BY f.resolved_at IS NOT NULL, f.code IN ('object_missing', 'object_differs') DESC, f.code, f.last_seen_at DESC,
    f.id
LIMIT %(limit)s
"""

_SWEPT = """
SELECT begun_at > %(asked)s AND swept_at > begun_at FROM app.sweeps WHERE org_id = %(org_id)s
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of app.storage_findings. ``object_key`` of an ``object_unknown`` may be anything that S3 allows."""

    org_id: UUID
    code: str
    action: str
    object_key: str
    upload_id: UUID | None
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None

    @property
    def is_loss(self) -> bool:
        """Whether a recording that should be there is not, or is another one."""
        return self.code in LOSSES and self.action != Action.RESTORED and self.resolved_at is None


def read_findings(
    connection: psycopg.Connection[Any],
    *,
    org_id: UUID | None = None,
    code: Code | None = None,
    with_resolved: bool = False,
    limit: int = 1000,
) -> Sequence[Finding]:
    """Open findings, losses first; with the resolved ones behind them if asked."""
    wanted = {"org_id": org_id, "code": code and code.value, "resolved": with_resolved, "limit": limit}
    return [Finding(*row) for row in connection.execute(_FOUND, wanted).fetchall()]


def request_sweep(connection: psycopg.Connection[Any], org_id: UUID, reason: str, actor: str) -> datetime:
    """Have the organisation swept now. Returns when it was asked for. A mistake is psycopg's error, in plain words."""
    with connection.transaction():
        connection.execute("SELECT set_config('app.actor', %s, true)", (actor,))
        row = connection.execute("SELECT public.request_storage_sweep(%s, %s)", (org_id, reason)).fetchone()
    assert row is not None  # noqa: S101 - a function returns something
    asked: datetime = row[0]
    return asked


def is_swept(connection: psycopg.Connection[Any], org_id: UUID, asked: datetime) -> bool:
    """Whether a sweep that began after the request is at its end."""
    row = connection.execute(_SWEPT, {"org_id": org_id, "asked": asked}).fetchone()
    return bool(row and row[0])

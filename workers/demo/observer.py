"""What the demo shows while it runs: read as ``recording_ops``, which sees of every organisation how things stand."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from workers.progress import OrganisationProgress, read_progress

_HELD = "SELECT worker, id, attempt FROM public.recording_upload_queue WHERE status = 'processing'"
_STORED = """
SELECT count(*) FILTER (WHERE attempt > 1), coalesce(sum(size_bytes) FILTER (WHERE status = 'completed'), 0)::bigint
FROM public.recording_upload_queue
"""
_NEWS = """
SELECT id, org_id, outcome, error_code, worker FROM public.recording_upload_metrics
WHERE id > %s AND error_code IS NOT NULL ORDER BY id
"""
_SNOOZED = "SELECT count(*) FROM public.recording_upload_metrics WHERE outcome = 'snoozed'"


@dataclass(frozen=True, slots=True)
class News:
    """An attempt that ended in something other than success."""

    id: int
    org_id: UUID
    outcome: str
    code: str
    worker: str


@dataclass(frozen=True, slots=True)
class Held:
    """An upload that a worker owns."""

    worker: str
    upload_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    organisations: tuple[OrganisationProgress, ...] = ()
    held: tuple[Held, ...] = ()
    retried: int = 0
    snoozed: int = 0
    stored_bytes: int = 0
    news: tuple[News, ...] = ()

    def settled(self) -> int:
        return sum(organisation.completed + organisation.failed for organisation in self.organisations)


@dataclass(slots=True)
class Observer:
    """``connection`` logs in as ``recording_ops`` and commits by itself."""

    connection: psycopg.Connection[Any]
    _told: int = field(default=0)

    def look(self) -> Snapshot:
        """How things stand, with the news since the last look. Several statements: to look at, not to judge by."""
        retried, stored_bytes = self.connection.execute(_STORED).fetchone() or (0, 0)
        (snoozed,) = self.connection.execute(_SNOOZED).fetchone() or (0,)
        news = tuple(News(*row) for row in self.connection.execute(_NEWS, (self._told,)))
        self._told = news[-1].id if news else self._told
        organisations = read_progress(self.connection).organisations
        return Snapshot(organisations, self.held(), retried, snoozed, stored_bytes, news)

    def held(self) -> tuple[Held, ...]:
        return tuple(Held(*row) for row in self.connection.execute(_HELD))

"""How the queue stands, as an operator sees it: counts by organisation, what is late, what has failed and why."""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg

from workers.crew import Worker, read_crew

# No row is read, only indexes: one that has all rows, and the small ones of what is not completed; what is left over is
# completed. No failed row has a lease: said because the index of the failed says it.
#
# MATERIALIZED, for each is to be counted once: where the planner takes 31 organisations for one, as it may until they
# are analyzed, it would count the history for each of them anew (4.7 s of a million rows instead of 0.2 s).
_BY_ORGANISATION = """
WITH known AS MATERIALIZED (
    SELECT org_id, count(*) AS n FROM public.recording_upload_queue GROUP BY org_id
), pending AS MATERIALIZED (
    SELECT org_id, count(*) AS n FROM public.recording_upload_queue WHERE status = 'pending' GROUP BY org_id
), processing AS MATERIALIZED (
    SELECT org_id, count(*) AS n FROM public.recording_upload_queue WHERE status = 'processing' GROUP BY org_id
), failed AS MATERIALIZED (
    SELECT org_id, count(*) AS n FROM public.recording_upload_queue
    WHERE status = 'failed' AND lease_expires_at IS NULL GROUP BY org_id
)
SELECT o.id, o.name, o.status, coalesce(pending.n, 0), coalesce(processing.n, 0),
       coalesce(known.n, 0) - coalesce(pending.n, 0) - coalesce(processing.n, 0) - coalesce(failed.n, 0),
       coalesce(failed.n, 0)
FROM public.organizations AS o
LEFT JOIN known ON known.org_id = o.id
LEFT JOIN pending ON pending.org_id = o.id
LEFT JOIN processing ON processing.org_id = o.id
LEFT JOIN failed ON failed.org_id = o.id
ORDER BY o.name, o.id
"""

_LATE = """
SELECT extract(epoch FROM now() - min(next_attempt_at))::double precision
FROM public.recording_upload_queue WHERE status = 'pending' AND next_attempt_at <= now()
"""

_FAILURES = """
SELECT error_code, count(*), count(given_up_at) FROM public.failed_recording_uploads
WHERE resolved_at IS NULL GROUP BY error_code ORDER BY count(*) DESC, error_code
"""

_REFUSED = """
SELECT kind, sum(refused)::bigint, extract(epoch FROM now() - max(last_at))::double precision
FROM app.refused_grants WHERE last_at > now() - interval '1 day' GROUP BY kind ORDER BY max(last_at) DESC
"""


@dataclass(frozen=True, slots=True)
class OrganisationProgress:
    org_id: UUID
    name: str
    status: str
    pending: int
    processing: int
    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class OpenFailures:
    """``given_up`` of them wait for a person; the others for their next try."""

    code: str
    open: int
    given_up: int


@dataclass(frozen=True, slots=True)
class RefusedDoorbells:
    """How many of a kind in the last day, and how many seconds ago the last one."""

    kind: str
    last_day: int
    last_s: float

    @property
    def is_alarming(self) -> bool:
        """Nobody's doing is what was only late."""
        return self.kind != "late"


@dataclass(frozen=True, slots=True)
class Progress:
    organisations: tuple[OrganisationProgress, ...]
    failures: tuple[OpenFailures, ...]
    workers: tuple[Worker, ...]
    refused: tuple[RefusedDoorbells, ...]
    #: How long the row that has waited longest past its time has waited; None when nothing is due.
    oldest_due_s: float | None

    def total(self, status: str) -> int:
        return sum(int(getattr(organisation, status)) for organisation in self.organisations)

    def as_json(self) -> dict[str, Any]:
        return {
            "uploads": {status: self.total(status) for status in ("pending", "processing", "completed", "failed")},
            "oldest_due_s": self.oldest_due_s,
            "organisations": [asdict(row) | {"org_id": str(row.org_id)} for row in self.organisations],
            "open_failures": [asdict(row) for row in self.failures],
            "workers": [worker.as_json() for worker in self.workers],
            "refused_doorbells": [asdict(row) for row in self.refused],
        }


def read_progress(connection: psycopg.Connection[Any]) -> Progress:
    """Read it in one snapshot, as login ``recording_ops``."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        late = connection.execute(_LATE).fetchone()
        return Progress(
            organisations=tuple(OrganisationProgress(*row) for row in connection.execute(_BY_ORGANISATION)),
            failures=tuple(OpenFailures(*row) for row in connection.execute(_FAILURES)),
            workers=read_crew(connection),
            refused=tuple(RefusedDoorbells(*row) for row in connection.execute(_REFUSED)),
            oldest_due_s=late[0] if late else None,
        )

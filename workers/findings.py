"""A sweep's statements, as a worker runs them: each a transaction of its own under the task grant (laws 2 and 4).

``claimed_at`` is the fence: whoever claimed later owns the sweep, and the one before it can no longer say how far it
came. Findings need none: two sweeps that see the same thing write the same row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.errors import LeaseLost
from workers.sweep import Action, Code, Fate, Kept

_PAGE = 1_000

# Once for each time the dispatcher rang. A sweep that did not come to its end is carried on. Whose it is, says the
# database: what the message's arguments say is not asked.
_CLAIM = """
UPDATE app.sweeps AS s SET
    claimed_at = now(), leased_until = now() + %(lease)s,
    begun_at = CASE WHEN begun_at > coalesce(swept_at, '-infinity') THEN begun_at ELSE now() END,
    reached_key = CASE WHEN begun_at > coalesce(swept_at, '-infinity') THEN reached_key ELSE '' END
WHERE rung_at IS NOT NULL AND (claimed_at IS NULL OR claimed_at < rung_at)
  AND (leased_until IS NULL OR leased_until <= now())
RETURNING org_id, claimed_at, begun_at, reached_key, checked_key, now(),
    (SELECT count(*) FROM app.storage_findings AS f
     WHERE f.org_id = s.org_id AND f.action = 'quarantined' AND f.last_seen_at >= s.begun_at)
"""

_KEEP = """
UPDATE app.sweeps SET leased_until = now() + %(lease)s, reached_key = %(reached_key)s, checked_key = %(checked_key)s
WHERE claimed_at = %(claimed_at)s AND leased_until IS NOT NULL
RETURNING org_id
"""

_LET_GO = "UPDATE app.sweeps SET leased_until = NULL WHERE claimed_at = %(claimed_at)s RETURNING org_id"

_FINISH = """
WITH finished AS (
    UPDATE app.sweeps SET swept_at = now(), leased_until = NULL
    WHERE claimed_at = %(claimed_at)s AND leased_until IS NOT NULL
    RETURNING org_id, begun_at
), resolved AS (
    UPDATE app.storage_findings AS f SET resolved_at = now() FROM finished
    WHERE f.org_id = finished.org_id AND f.resolved_at IS NULL AND f.last_seen_at < finished.begun_at
)
SELECT org_id FROM finished
"""

# Originals and renditions, each by its own index as far as a page needs them.
_KEPT = """
SELECT * FROM (
    (SELECT id, object_key, size_bytes, sha256 FROM public.recording_upload_queue
     WHERE object_key COLLATE "C" > %(after)s AND status = 'completed' AND erased_at IS NULL
     ORDER BY object_key COLLATE "C" LIMIT %(most)s)
    UNION ALL
    (SELECT r.upload_id, r.object_key, r.size_bytes, r.sha256 FROM public.recording_renditions AS r
     JOIN public.recording_upload_queue AS q ON q.org_id = r.org_id AND q.id = r.upload_id AND q.erased_at IS NULL
     WHERE r.object_key COLLATE "C" > %(after)s
     ORDER BY r.object_key COLLATE "C" LIMIT %(most)s)
) AS kept ORDER BY object_key COLLATE "C" LIMIT %(most)s
"""

_FATES = """
SELECT q.id, CASE WHEN q.erased_at IS NULL THEN q.status WHEN e.erased_at IS NULL THEN 'erasing' ELSE 'erased' END,
       q.object_key,
       ARRAY(SELECT r.object_key FROM public.recording_renditions AS r WHERE r.org_id = q.org_id AND r.upload_id = q.id)
FROM public.recording_upload_queue AS q LEFT JOIN app.erasures AS e ON e.org_id = q.org_id AND e.call_id = q.call_id
WHERE q.id = ANY(%(ids)s)
"""

_FOUND = """
INSERT INTO app.storage_findings AS f (org_id, upload_id, object_key, code, action)
VALUES ((SELECT app.task_org_id()), %(upload_id)s, %(key)s, %(code)s, %(action)s)
ON CONFLICT (org_id, object_key, code) WHERE resolved_at IS NULL
DO UPDATE SET last_seen_at = now(), action = excluded.action RETURNING id
"""

# Those that this sweep has not seen yet: by its size alone nobody can tell such an object.
_DIFFERING = """
SELECT k.upload_id, k.object_key, k.size_bytes, k.sha256
FROM app.storage_findings AS f JOIN LATERAL (
    SELECT q.id AS upload_id, q.object_key, q.size_bytes, q.sha256 FROM public.recording_upload_queue AS q
    WHERE q.org_id = f.org_id AND q.id = f.upload_id AND q.status = 'completed' AND q.erased_at IS NULL
    UNION ALL
    SELECT r.upload_id, r.object_key, r.size_bytes, r.sha256 FROM public.recording_renditions AS r
    JOIN public.recording_upload_queue AS q ON q.org_id = r.org_id AND q.id = r.upload_id AND q.erased_at IS NULL
    WHERE r.org_id = f.org_id AND r.upload_id = f.upload_id
) AS k ON k.object_key = f.object_key
WHERE f.resolved_at IS NULL AND f.code = 'object_differs' AND f.last_seen_at < %(begun_at)s
  AND f.object_key COLLATE "C" > %(after)s
ORDER BY f.object_key COLLATE "C" LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One claim of an organisation's sweep. ``moved``: how many objects this sweep has put aside already."""

    org_id: UUID
    claimed_at: datetime
    begun_at: datetime
    reached_key: str
    checked_key: str
    now: datetime
    moved: int


@dataclass(frozen=True, slots=True)
class Findings:
    """Sweeps and what they found, of the organisation of a grant."""

    engine: Engine
    grant: str
    lease: timedelta

    def claim(self) -> Turn | None:
        """Own the sweep for a lease, or get ``None``: nobody rang, or somebody has it."""
        rows = run_as_task(self.engine, self.grant, _CLAIM, {"lease": self.lease})
        return Turn(*rows[0]) if rows else None

    def keep(self, turn: Turn) -> None:
        """Own it for another lease, and note how far it has come; or ``LeaseLost``."""
        self._fenced(turn, _KEEP, lease=self.lease, reached_key=turn.reached_key, checked_key=turn.checked_key)

    def let_go(self, turn: Turn) -> None:
        """Leave the rest to the next ring; or ``LeaseLost``."""
        self._fenced(turn, _LET_GO)

    def finish(self, turn: Turn) -> None:
        """The sweep is at its end: what it did not see again is resolved; or ``LeaseLost``."""
        self._fenced(turn, _FINISH)

    def kept(self, after: str) -> Iterator[Kept]:
        """The completed rows behind a key, in the order of S3's listing, a page at a time."""
        while page := self.some_kept(after, _PAGE):
            yield from page
            after = page[-1].key

    def some_kept(self, after: str, most: int) -> Sequence[Kept]:
        return self._rows(_KEPT, after=after, most=most)

    def differing(self, turn: Turn) -> Iterator[Kept]:
        """The rows whose object was found to differ, and which this sweep has not come upon."""
        after = ""
        while page := self._rows(_DIFFERING, begun_at=turn.begun_at, after=after, most=_PAGE):
            yield from page
            after = page[-1].key

    def fates(self, upload_ids: Sequence[UUID]) -> dict[UUID, Fate]:
        """How these uploads stand now; those that do not exist are absent."""
        rows = run_as_task(self.engine, self.grant, _FATES, {"ids": list(upload_ids)}) if upload_ids else ()
        return {upload_id: Fate(status, key, frozenset(renditions)) for upload_id, status, key, renditions in rows}

    def found(self, code: Code, key: str, upload_id: UUID | None, action: Action) -> None:
        """Write a finding down, or that it was seen again."""
        parameters = {"upload_id": upload_id, "key": key, "code": code.value, "action": action.value}
        run_as_task(self.engine, self.grant, _FOUND, parameters)

    def _rows(self, statement: str, **parameters: object) -> Sequence[Kept]:
        return [Kept(*row) for row in run_as_task(self.engine, self.grant, statement, parameters)]

    def _fenced(self, turn: Turn, statement: str, **parameters: object) -> None:
        if not run_as_task(self.engine, self.grant, statement, {"claimed_at": turn.claimed_at} | parameters):
            raise LeaseLost

"""An erasure's statements, as a worker runs them: each a transaction of its own under the task grant (laws 2 and 4).

Nothing here decides what is erased: the database has planned it. Doing one twice is harmless, so a claim is for a while
only, and whoever comes after a worker that was killed goes on from the beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task

# From claimed_at on a legal hold comes too late; one that stands, however it came to, is respected until then.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT e.id FROM app.erasures AS e
    WHERE e.org_id = (SELECT app.task_org_id()) AND e.erased_at IS NULL AND e.next_attempt_at <= now()
      AND NOT EXISTS (SELECT FROM public.call_logs AS c WHERE c.org_id = e.org_id AND c.id = e.call_id AND c.legal_hold)
    ORDER BY e.next_attempt_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE app.erasures AS e SET claimed_at = coalesce(e.claimed_at, now()), next_attempt_at = now() + %(lease)s
FROM due WHERE e.id = due.id
RETURNING e.id, e.org_id, e.call_id
"""

# Every upload that there was, for what it may have left behind; and the ZIPs that have the recording in: those that had
# not ended were ended when the erasure was planned.
_STORED = """
SELECT q.created_at, q.object_key FROM public.recording_upload_queue AS q
WHERE q.org_id = %(org_id)s AND q.call_id = %(call_id)s
UNION ALL
SELECT NULL, r.object_key FROM public.recording_renditions AS r WHERE r.org_id = %(org_id)s AND r.call_id = %(call_id)s
"""
_EXPORTS = """
SELECT e.id FROM public.recording_exports AS e
WHERE e.org_id = %(org_id)s AND e.status IN ('failed', 'revoked', 'expired') AND e.id IN (
    SELECT d.export_id FROM public.recording_downloads AS d WHERE d.org_id = %(org_id)s AND d.call_id = %(call_id)s)
"""

_FINISH = """
WITH done AS (
    UPDATE app.erasures SET erased_at = now(), error_code = NULL, objects = objects + %(objects)s
    WHERE id = %(id)s AND erased_at IS NULL AND claimed_at IS NOT NULL RETURNING org_id, call_id
), forgotten AS (
    DELETE FROM public.recording_renditions AS r USING done WHERE r.org_id = done.org_id AND r.call_id = done.call_id
)
SELECT call_id FROM done
"""

_PUT_OFF = """
UPDATE app.erasures SET error_code = %(code)s, next_attempt_at = now() + %(wait)s
WHERE id = %(id)s AND erased_at IS NULL RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A call whose recording this worker has to delete."""

    id: UUID
    org_id: UUID
    call_id: UUID


@dataclass(frozen=True, slots=True)
class Traces:
    """Where something of a call may be stored: when its uploads were made, keys, and exports that had it in."""

    born: Sequence[datetime]
    keys: Sequence[str]
    exports: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Erasures:
    """The erasures of the organisation of a grant."""

    engine: Engine
    grant: str

    def organisation(self) -> UUID:
        """Whose they are: what the database reads in the grant."""
        found: UUID = run_as_task(self.engine, self.grant, "SELECT app.task_org_id()", {})[0][0]
        return found

    def claim(self, lease: timedelta) -> Erasure | None:
        """The next one, for a while; None while there is none."""
        rows = run_as_task(self.engine, self.grant, _CLAIM, {"lease": lease})
        return Erasure(*rows[0]) if rows else None

    def traces(self, erasure: Erasure) -> Traces:
        of_call = {"org_id": erasure.org_id, "call_id": erasure.call_id}
        stored = run_as_task(self.engine, self.grant, _STORED, of_call)
        exports = run_as_task(self.engine, self.grant, _EXPORTS, of_call)
        return Traces(
            born=[born for born, _ in stored if born is not None],
            keys=[key for _, key in stored if key is not None],
            exports=[row[0] for row in exports],
        )

    def finish(self, erasure: Erasure, *, objects: int) -> bool:
        """Nothing is left of it: the database writes the receipt. False if somebody else was first."""
        return bool(run_as_task(self.engine, self.grant, _FINISH, {"id": erasure.id, "objects": objects}))

    def put_off(self, erasure: Erasure, code: str, wait: timedelta) -> None:
        """It is not done; the code is for operators to see."""
        run_as_task(self.engine, self.grant, _PUT_OFF, {"id": erasure.id, "code": code, "wait": wait})

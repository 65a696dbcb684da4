"""The queue's statements as a worker runs them: each is one whole decision, in one transaction, in one round trip.

Where most of the work is one simple case, a shorter statement asks for that first.

Every write after the claim is fenced by the attempt number (law 3): it names the attempt that it belongs to and changes
nothing if another attempt owns the row by now. ``LeaseLost`` then, never silence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from schema.tenancy import Rows, run_all_as_task, run_as_task
from workers import claim
from workers.errors import AttemptError, LeaseLost
from workers.retry import Decision, GiveUp, Reschedule, Snooze
from workers.states import Outcome, Status
from workers.uploads import Copied, Upload

# Before any claim: only what nobody has claimed still has a mark.
_GIVE_BACK = """
UPDATE public.recording_upload_queue SET dispatched_until = NULL
WHERE id = ANY(%(ids)s) AND status IN ('pending', 'processing') AND dispatched_until > now()
RETURNING id
"""

_RENEW = """
UPDATE public.recording_upload_queue SET lease_expires_at = now() + %(lease)s
WHERE id = %(id)s AND lease_expires_at IS NOT NULL AND attempt = %(attempt)s
RETURNING id
"""

_DONE = """
WITH done AS (
    UPDATE public.recording_upload_queue SET
        status = 'completed', completed_at = now(), object_key = %(object_key)s, size_bytes = %(size_bytes)s,
        sha256 = %(sha256)s, content_type = %(content_type)s, error_code = NULL,
        lease_expires_at = NULL, dispatched_until = NULL
    WHERE id = %(id)s AND lease_expires_at IS NOT NULL AND attempt = %(attempt)s
    RETURNING id, org_id, call_id, worker
), call AS (
    UPDATE public.call_logs AS c SET
        recording_status = 'completed', recording_key = %(object_key)s, recording_format = %(format)s,
        recording_size_bytes = %(size_bytes)s, recording_sha256 = %(sha256)s, recording_uploaded_at = now()
    FROM done WHERE c.org_id = done.org_id AND c.id = done.call_id
), metric AS (
    INSERT INTO public.recording_upload_metrics
        (org_id, call_id, upload_id, attempt, outcome, size_bytes, queue_ms, fetch_ms, store_ms, total_ms, worker)
    SELECT org_id, call_id, id, %(attempt)s, 'completed', %(size_bytes)s, %(queue_ms)s, %(fetch_ms)s, %(store_ms)s,
           %(total_ms)s, worker
    FROM done
)"""
# Of a first attempt: a failure is written when an attempt ends, so there is none yet to recover from.
_COMPLETE_FIRST = f"{_DONE} SELECT id FROM done"
# The last line answers a caller whose first COMMIT went through unheard: settled by this very attempt is settled.
_COMPLETE = f"""{_DONE}, recovered AS (
    UPDATE public.failed_recording_uploads AS f SET
        resolved_at = now(), resolution = 'recovered', next_retry_at = NULL
    FROM done WHERE f.org_id = done.org_id AND f.upload_id = done.id AND f.resolved_at IS NULL
)
SELECT id FROM done
UNION ALL
SELECT id FROM public.recording_upload_queue WHERE id = %(id)s AND status = 'completed' AND attempt = %(attempt)s
"""

_SETTLE = """
WITH settled AS (
    UPDATE public.recording_upload_queue SET
        status = %(status)s, failures = failures + %(cost)s,
        next_attempt_at = coalesce(%(at)s::timestamptz, next_attempt_at),
        error_code = coalesce(%(code)s::text, error_code),
        worker = NULL, lease_expires_at = NULL, dispatched_until = NULL
    WHERE id = %(id)s AND lease_expires_at IS NOT NULL AND attempt = %(attempt)s
    RETURNING id, org_id, call_id
), failure AS (
    INSERT INTO public.failed_recording_uploads AS f
        (org_id, call_id, upload_id, error_code, error_message, next_retry_at, given_up_at)
    SELECT org_id, call_id, id, %(code)s, %(message)s, %(at)s, CASE WHEN %(status)s = 'failed' THEN now() END
    FROM settled WHERE %(message)s::text IS NOT NULL
    ON CONFLICT (org_id, upload_id) WHERE resolved_at IS NULL DO UPDATE SET
        error_code = excluded.error_code, error_message = excluded.error_message,
        failure_count = f.failure_count + 1, last_failed_at = now(),
        next_retry_at = excluded.next_retry_at, given_up_at = excluded.given_up_at
), metric AS (
    INSERT INTO public.recording_upload_metrics
        (org_id, call_id, upload_id, attempt, outcome, error_code, queue_ms, total_ms, worker)
    SELECT org_id, call_id, id, %(attempt)s, %(outcome)s, %(code)s, %(queue_ms)s, %(total_ms)s, %(worker)s
    FROM settled
), call AS (
    UPDATE public.call_logs AS c SET recording_status = 'failed'
    FROM settled WHERE c.org_id = settled.org_id AND c.id = settled.call_id AND %(status)s = 'failed'
      AND c.recording_status IS DISTINCT FROM 'completed'
)
SELECT id FROM settled
UNION ALL
SELECT id FROM public.recording_upload_queue
WHERE id = %(id)s AND attempt = %(attempt)s AND status = %(status)s
"""

#: Of psycopg's operational errors, those that say nothing of the database being away.
_OF_A_ROW = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.QueryCanceled)


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as one worker sees it: always through the grant of the message at hand."""

    engine: Engine
    worker: str
    lease: timedelta

    def claim(self, grant: str, upload_id: UUID, claim_id: UUID) -> Upload | None:
        """Own the row for a lease, or get ``None``: not dispatched, not due, owned, settled, another organisation's, or
        no such row. Who did not hear the answer asks again with the same ``claim_id``; each doorbell has its own."""
        parameters = claim.asked(upload_id, claim_id, self.worker, self.lease)
        rows = run_as_task(self.engine, grant, claim.PENDING, parameters)
        rows = rows or run_as_task(self.engine, grant, claim.DUE, parameters)
        return Upload(*rows[0]) if rows else None

    def give_back(self, grant: str, upload_ids: Sequence[UUID]) -> None:
        """Take the dispatcher's marks off rows that were rung for and will not be claimed: they are due at once."""
        run_as_task(self.engine, grant, _GIVE_BACK, {"ids": list(upload_ids)})

    def renew(self, grant: str, upload: Upload) -> None:
        """Own the row for another lease from now, or raise ``LeaseLost``."""
        self._fenced(grant, upload, _RENEW, lease=self.lease)

    def complete(self, grant: str, upload: Upload, copied: Copied, *, total_ms: int) -> None:
        """Settle as stored: queue row, call, metric, and the open failure as recovered, together; or ``LeaseLost``."""
        first = [_COMPLETE_FIRST] if upload.attempt == 1 else []
        self._fenced(grant, upload, *first, _COMPLETE, **_completing(upload, copied, total_ms))

    def complete_and_claim(
        self, grant: str, upload: Upload, copied: Copied, *, total_ms: int, then: UUID, claim_id: UUID
    ) -> tuple[bool, Upload | None]:
        """``complete`` and ``claim`` of the next one in one transaction, for which both pay half: whether the first was
        settled and not lost, and the second if it is owned now. If it is not, ``claim`` says why: it may have been
        locked. Asked again it answers again, like both of them."""
        complete = _COMPLETE_FIRST if upload.attempt == 1 else _COMPLETE
        settling = (complete, _fence(upload) | _completing(upload, copied, total_ms))
        claiming = (claim.PENDING, claim.asked(then, claim_id, self.worker, self.lease))
        settled: Rows = ()
        claimed: Rows = ()
        try:
            settled, claimed = run_all_as_task(self.engine, grant, settling, claiming)
        except psycopg.Error as error:
            # While the database is there, what is wrong with one of the two must not undo the other: each is asked for
            # by itself then, and raises what is its own.
            if isinstance(error, psycopg.OperationalError) and not isinstance(error, _OF_A_ROW):
                raise
        stands = bool(settled) or self._stands(grant, upload, copied, total_ms)
        return stands, Upload(*claimed[0]) if claimed else None

    def _stands(self, grant: str, upload: Upload, copied: Copied, total_ms: int) -> bool:
        try:
            self.complete(grant, upload, copied, total_ms=total_ms)
        except LeaseLost:
            return False
        return True

    def fail(self, grant: str, upload: Upload, error: AttemptError, decision: Decision, *, total_ms: int) -> None:
        """Settle as failed, by the decision: queue row, failure and metric together; or ``LeaseLost``."""
        status, outcome, cost, at = _written(decision)
        # "Not ready yet" is no failure: operators would drown in them.
        message = None if isinstance(decision, Snooze) and error.code == "source_not_ready" else str(error)
        self._fenced(
            grant,
            upload,
            _SETTLE,
            status=status.value,
            outcome=outcome.value,
            cost=cost,
            at=at,
            code=error.code,
            message=message,
            queue_ms=upload.queue_ms,
            total_ms=total_ms,
            worker=self.worker,
        )

    def put_back(self, grant: str, upload: Upload, *, total_ms: int) -> None:
        """Settle as interrupted: due again at once, nothing used up (law 10); or ``LeaseLost``."""
        self._fenced(
            grant,
            upload,
            _SETTLE,
            status=Status.PENDING.value,
            outcome=Outcome.INTERRUPTED.value,
            cost=0,
            at=None,
            code=None,
            message=None,
            queue_ms=upload.queue_ms,
            total_ms=total_ms,
            worker=self.worker,
        )

    def _fenced(self, grant: str, upload: Upload, *statements: str, **parameters: object) -> None:
        """The first of the statements that finds the attempt's row is the last one asked."""
        fence = _fence(upload) | parameters
        if not any(run_as_task(self.engine, grant, statement, fence) for statement in statements):
            raise LeaseLost


def _fence(upload: Upload) -> dict[str, object]:
    return {"id": upload.id, "attempt": upload.attempt}


def _completing(upload: Upload, copied: Copied, total_ms: int) -> dict[str, object]:
    return asdict(copied) | {"queue_ms": upload.queue_ms, "total_ms": total_ms}


def _written(decision: Decision) -> tuple[Status, Outcome, int, object]:
    """A decision as the row takes it: status, outcome, failures used up, next try."""
    match decision:
        case Reschedule(at):
            return Status.PENDING, Outcome.RESCHEDULED, 1, at
        case Snooze(at):
            return Status.PENDING, Outcome.SNOOZED, 0, at
        case GiveUp():
            return Status.FAILED, Outcome.GIVEN_UP, 1, None

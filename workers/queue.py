"""The queue's statements as a worker runs them: each is one whole decision, in one transaction, in one round trip.

Where most of the work is one simple case, a shorter statement asks for that first.

Every write after the claim is fenced by the attempt number (law 3): it names the attempt that it belongs to and changes
nothing if another attempt owns the row by now. ``LeaseLost`` then, never silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.errors import AttemptError, LeaseLost
from workers.retry import Decision, GiveUp, Reschedule, Snooze
from workers.sources import ACCOUNTS
from workers.states import Outcome, Status
from workers.uploads import Copied, Upload

# What nearly every doorbell is for: a pending row, and nothing else. Each table that a statement reads costs its
# policies, found or not: so a call's id at its provider and the credentials are looked up for those providers only that
# are asked by them. For whatever this does not find there is _CLAIM, which says the same and the rest; another may have
# claimed in between, and then neither finds it.
#
# Only what is dispatched: the dispatcher's count of an organisation's rows in flight rests on its marks, so a doorbell
# that comes twice, late or out of turn finds none and changes nothing (law 1).
_CLAIM_PENDING = """
UPDATE public.recording_upload_queue AS q SET
    status = 'processing', attempt = q.attempt + 1, worker = %(worker)s, claim_id = %(claim_id)s,
    lease_expires_at = now() + %(lease)s, dispatched_until = NULL
WHERE q.id = %(id)s AND q.dispatched_until > now() AND q.status NOT IN ('processing', 'completed', 'failed')
  AND q.next_attempt_at <= now()
RETURNING q.id, q.org_id, q.call_id, q.provider,
    CASE WHEN q.provider = ANY(%(accounts)s) THEN
        (SELECT c.provider_call_id FROM public.call_logs AS c WHERE c.org_id = q.org_id AND c.id = q.call_id) END,
    q.recording_id, q.source_url, q.attempt, q.failures, q.max_failures, q.created_at, now(),
    CASE WHEN q.provider = ANY(%(accounts)s) THEN
        (SELECT i.sealed_credentials FROM public.integrations AS i
         WHERE i.org_id = q.org_id AND i.provider = q.provider) END,
    least(extract(epoch FROM now() - q.next_attempt_at) * 1000, 2147483647)::integer,
    coalesce(q.retried_at, q.created_at)
"""

# A row whose lease ran out lost its worker: that attempt is accounted for here, by the next one, since nobody else is
# left to do it. It used up a failure; with the last one gone the row is given up instead of being claimed again. A call
# that has a stored recording keeps it, whatever becomes of a second one of the same call.
#
# ``mine`` also answers a caller whose first COMMIT went through unheard: the row that this very claim took is taken.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT id, org_id, call_id, worker, attempt, status = 'processing' AS lost, max_failures,
           failures + (status = 'processing')::integer AS failures,
           coalesce(lease_expires_at, next_attempt_at) AS due_at
    FROM public.recording_upload_queue
    WHERE id = %(id)s AND dispatched_until > now()
      AND (status = 'pending' AND next_attempt_at <= now() OR status = 'processing' AND lease_expires_at <= now())
    FOR UPDATE
), claimed AS (
    UPDATE public.recording_upload_queue AS q SET
        status = 'processing', attempt = q.attempt + 1, failures = due.failures, worker = %(worker)s,
        claim_id = %(claim_id)s, lease_expires_at = now() + %(lease)s, dispatched_until = NULL
    FROM due WHERE q.id = due.id AND NOT (due.lost AND due.failures >= due.max_failures)
    RETURNING q.*, least(extract(epoch FROM now() - due.due_at) * 1000, 2147483647)::integer AS queue_ms
), mine AS (
    SELECT * FROM claimed
    UNION ALL
    SELECT q.*, least(extract(epoch FROM now() - q.next_attempt_at) * 1000, 2147483647)::integer
    FROM public.recording_upload_queue AS q
    WHERE id = %(id)s AND status = 'processing' AND claim_id = %(claim_id)s AND lease_expires_at > now()
), given_up AS (
    UPDATE public.recording_upload_queue AS q SET
        status = 'failed', failures = due.failures, error_code = 'worker_lost',
        worker = NULL, lease_expires_at = NULL, dispatched_until = NULL
    FROM due WHERE q.id = due.id AND due.lost AND due.failures >= due.max_failures
), failure AS (
    INSERT INTO public.failed_recording_uploads AS f
        (org_id, call_id, upload_id, error_code, error_message, next_retry_at, given_up_at)
    SELECT org_id, call_id, id, 'worker_lost', %(lost_message)s,
           CASE WHEN failures < max_failures THEN now() END, CASE WHEN failures >= max_failures THEN now() END
    FROM due WHERE lost
    ON CONFLICT (org_id, upload_id) WHERE resolved_at IS NULL DO UPDATE SET
        error_code = excluded.error_code, error_message = excluded.error_message,
        failure_count = f.failure_count + 1, last_failed_at = now(),
        next_retry_at = excluded.next_retry_at, given_up_at = excluded.given_up_at
), metric AS (
    INSERT INTO public.recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome, error_code, worker)
    SELECT org_id, call_id, id, attempt, CASE WHEN failures < max_failures THEN 'rescheduled' ELSE 'given_up' END,
           'worker_lost', worker
    FROM due WHERE lost
), call AS (
    UPDATE public.call_logs AS c SET recording_status = 'failed'
    FROM due WHERE c.org_id = due.org_id AND c.id = due.call_id AND due.lost AND due.failures >= due.max_failures
      AND c.recording_status IS DISTINCT FROM 'completed'
)
SELECT q.id, q.org_id, q.call_id, q.provider, c.provider_call_id, q.recording_id, q.source_url, q.attempt, q.failures,
       q.max_failures, q.created_at, now(), i.sealed_credentials, q.queue_ms, coalesce(q.retried_at, q.created_at)
FROM mine AS q
LEFT JOIN public.call_logs AS c ON c.org_id = q.org_id AND c.id = q.call_id AND q.provider = ANY(%(accounts)s)
LEFT JOIN public.integrations AS i ON i.org_id = q.org_id AND i.provider = q.provider AND q.provider = ANY(%(accounts)s)
"""

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

_ACCOUNTS = list(ACCOUNTS)
_LOST_MESSAGE = "The worker died, or went silent past its lease."


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as one worker sees it: always through the grant of the message at hand."""

    engine: Engine
    worker: str
    lease: timedelta

    def claim(self, grant: str, upload_id: UUID, claim_id: UUID) -> Upload | None:
        """Own the row for a lease, or get ``None``: not dispatched, not due, owned, settled, another organisation's, or
        no such row. Who did not hear the answer asks again with the same ``claim_id``; each doorbell has its own."""
        parameters = {
            "id": upload_id,
            "claim_id": claim_id,
            "worker": self.worker,
            "lease": self.lease,
            "lost_message": _LOST_MESSAGE,
            "accounts": _ACCOUNTS,
        }
        rows = run_as_task(self.engine, grant, _CLAIM_PENDING, parameters)
        rows = rows or run_as_task(self.engine, grant, _CLAIM, parameters)
        return Upload(*rows[0]) if rows else None

    def give_back(self, grant: str, upload_ids: Sequence[UUID]) -> None:
        """Take the dispatcher's marks off rows that were rung for and will not be claimed: they are due at once."""
        run_as_task(self.engine, grant, _GIVE_BACK, {"ids": list(upload_ids)})

    def renew(self, grant: str, upload: Upload) -> None:
        """Own the row for another lease from now, or raise ``LeaseLost``."""
        self._fenced(grant, upload, _RENEW, lease=self.lease)

    def complete(self, grant: str, upload: Upload, copied: Copied, *, total_ms: int) -> None:
        """Settle as stored: queue row, call, metric, and the open failure as recovered, together; or ``LeaseLost``."""
        self._fenced(
            grant,
            upload,
            *([_COMPLETE_FIRST] if upload.attempt == 1 else []),
            _COMPLETE,
            object_key=copied.object_key,
            size_bytes=copied.size_bytes,
            sha256=copied.sha256,
            content_type=copied.content_type,
            format=copied.format,
            queue_ms=upload.queue_ms,
            fetch_ms=copied.fetch_ms,
            store_ms=copied.store_ms,
            total_ms=total_ms,
        )

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
        fence = {"id": upload.id, "attempt": upload.attempt} | parameters
        if not any(run_as_task(self.engine, grant, statement, fence) for statement in statements):
            raise LeaseLost


def _written(decision: Decision) -> tuple[Status, Outcome, int, object]:
    """A decision as the row takes it: status, outcome, failures used up, next try."""
    match decision:
        case Reschedule(at):
            return Status.PENDING, Outcome.RESCHEDULED, 1, at
        case Snooze(at):
            return Status.PENDING, Outcome.SNOOZED, 0, at
        case GiveUp():
            return Status.FAILED, Outcome.GIVEN_UP, 1, None

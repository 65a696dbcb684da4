"""Claiming a row: the statements, and what they ask for. Each is one whole decision."""

from datetime import timedelta
from uuid import UUID

from workers.sources import ACCOUNTS

# What nearly every doorbell is for: a pending row, and nothing else. Each table that a statement reads costs its
# policies, found or not: so a call's id at its provider and the credentials are looked up for those providers only that
# are asked by them. For whatever this does not find there is DUE, which says the same and the rest; another may have
# claimed in between, and then neither finds it.
#
# Only what is dispatched: the dispatcher's count of an organisation's rows in flight rests on its marks, so a doorbell
# that comes twice, late or out of turn finds none and changes nothing (law 1).
PENDING = """
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
DUE = """
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

_ACCOUNTS = list(ACCOUNTS)
_LOST_MESSAGE = "The worker died, or went silent past its lease."


def asked(upload_id: UUID, claim_id: UUID, worker: str, lease: timedelta) -> dict[str, object]:
    """The parameters of both."""
    return {
        "id": upload_id,
        "claim_id": claim_id,
        "worker": worker,
        "lease": lease,
        "lost_message": _LOST_MESSAGE,
        "accounts": _ACCOUNTS,
    }

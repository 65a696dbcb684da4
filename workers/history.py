"""All that is known of one upload, as login ``recording_ops``: how it stands, its failures, its attempts, who acted."""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

Record = dict[str, Any]

_UPLOAD = """
SELECT q.id, q.org_id, o.name AS organisation, q.call_id, q.provider, q.priority, q.status, q.attempt, q.failures,
       q.max_failures, q.error_code, q.next_attempt_at, q.lease_expires_at, q.worker, q.size_bytes, q.sha256,
       q.created_at, q.retried_at, q.completed_at
FROM public.recording_upload_queue AS q JOIN public.organizations AS o ON o.id = q.org_id
WHERE q.id = %(id)s OR q.id = (SELECT f.upload_id FROM public.failed_recording_uploads AS f WHERE f.id = %(id)s)
"""

_FAILURES = """
SELECT id, error_code, error_message, failure_count, first_failed_at, last_failed_at, next_retry_at, given_up_at,
       resolved_at, resolution
FROM public.failed_recording_uploads WHERE org_id = %(org_id)s AND upload_id = %(id)s ORDER BY first_failed_at
"""

_ATTEMPTS = """
SELECT attempt, outcome, error_code, size_bytes, queue_ms, fetch_ms, store_ms, total_ms, worker, created_at
FROM public.recording_upload_metrics WHERE org_id = %(org_id)s AND upload_id = %(id)s ORDER BY attempt
"""

_AUDIT = """
SELECT at, actor, action, reason, detail FROM public.audit_log WHERE subject_id = %(id)s ORDER BY at, audit_log.id
"""


@dataclass(frozen=True, slots=True)
class History:
    """Rows as the database has them, without the URL, which this login may not read."""

    upload: Record
    failures: list[Record]
    attempts: list[Record]
    audit: list[Record]

    def as_json(self) -> Record:
        return asdict(self)


def read_history(connection: psycopg.Connection[Any], named: UUID) -> History | None:
    """Of the upload with this id, or with a failure of this id; in one snapshot. ``None``: there is neither."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        upload = cursor.execute(_UPLOAD, {"id": named}).fetchone()
        if upload is None:
            return None
        key = {"id": upload["id"], "org_id": upload["org_id"]}
        failures, attempts, audit = (cursor.execute(query, key).fetchall() for query in (_FAILURES, _ATTEMPTS, _AUDIT))
        return History(upload, failures, attempts, audit)

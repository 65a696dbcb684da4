"""An export's statements, as a worker runs them: each a transaction of its own under the task grant (laws 2 and 4).

Every write after the claim is fenced by the attempt number, as an upload's is (law 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.errors import LeaseLost
from workers.territory import EXPORTS

_PAGE = 500

# A lease that ran out lost its worker, which is counted here by the next one. Its ZIP, if it had come so far, has the
# number of its attempt in its name and is nobody's.
_CLAIM = """
UPDATE public.recording_exports SET
    status = 'processing', attempt = attempt + 1, failures = failures + (status = 'processing')::integer,
    recordings_done = 0, worker = %(worker)s, lease_expires_at = now() + %(lease)s, dispatched_until = NULL
WHERE id = %(id)s AND dispatched_until > now()
  AND (status = 'requested' OR status = 'processing' AND lease_expires_at <= now())
RETURNING id, org_id, attempt, recordings_total, created_at
"""

_RENEW = """
UPDATE public.recording_exports SET lease_expires_at = now() + %(lease)s, recordings_done = %(done)s
WHERE id = %(id)s AND status = 'processing' AND attempt = %(attempt)s RETURNING id
"""

# The very bytes that the request named, by their hash: a call may have got another recording meanwhile.
_PARTS = """
SELECT d.id, d.call_id, c.started_at, c.duration_s, q.object_key, q.size_bytes, d.sha256
FROM public.recording_downloads AS d
JOIN public.call_logs AS c ON c.org_id = d.org_id AND c.id = d.call_id
LEFT JOIN LATERAL (
    SELECT u.object_key, u.size_bytes FROM public.recording_upload_queue AS u
    WHERE u.org_id = d.org_id AND u.call_id = d.call_id AND u.status = 'completed' AND u.sha256 = d.sha256
      AND u.erased_at IS NULL
    ORDER BY u.id LIMIT 1
) AS q ON true
WHERE d.export_id = %(id)s AND d.status = 'requested' AND d.id > %(after)s
ORDER BY d.id LIMIT %(page)s
"""

_READY = """
WITH done AS (
    UPDATE public.recording_exports SET
        status = 'ready', recordings_done = recordings_total, object_key = %(key)s, size_bytes = %(size_bytes)s,
        sha256 = %(sha256)s, expires_at = now() + %(left)s, lease_expires_at = NULL, dispatched_until = NULL
    WHERE id = %(id)s AND status = 'processing' AND attempt = %(attempt)s
    RETURNING id, org_id
), links AS (
    UPDATE public.recording_downloads AS d SET status = 'ready', url = %(url)s, expires_at = now() + %(left)s
    FROM done WHERE d.org_id = done.org_id AND d.export_id = done.id AND d.status = 'requested'
)
SELECT id FROM done
"""

_FAILED = """
WITH done AS (
    UPDATE public.recording_exports SET
        status = 'failed', error_code = %(code)s, lease_expires_at = NULL, dispatched_until = NULL
    WHERE id = %(id)s AND status = 'processing' AND attempt = %(attempt)s
    RETURNING id, org_id
), links AS (
    UPDATE public.recording_downloads AS d SET status = 'failed', error_code = %(code)s
    FROM done WHERE d.org_id = done.org_id AND d.export_id = done.id AND d.status = 'requested'
)
SELECT id FROM done
"""

_PUT_BACK = """
UPDATE public.recording_exports SET
    status = 'requested', recordings_done = 0, worker = NULL, lease_expires_at = NULL,
    dispatched_until = now() + %(pause)s
WHERE id = %(id)s AND status = 'processing' AND attempt = %(attempt)s RETURNING id
"""


def zip_prefix(org_id: UUID, export_id: UUID) -> str:
    """Of the ZIPs of every attempt at an export."""
    return f"{EXPORTS}{org_id}/{export_id}-"


@dataclass(slots=True)
class Export:
    """One claim of an export. ``done``: recordings that are in the ZIP so far, told with each renewal."""

    id: UUID
    org_id: UUID
    attempt: int
    recordings_total: int
    created_at: datetime
    done: int = 0

    @property
    def key(self) -> str:
        """Of the ZIP: each attempt's own, outside the recordings' part of the bucket."""
        return f"{zip_prefix(self.org_id, self.id)}{self.attempt}.zip"

    @property
    def filename(self) -> str:
        """What a browser saves it as."""
        return f"recordings-{self.id}.zip"


@dataclass(frozen=True, slots=True)
class Part:
    """One recording of an export. ``key`` and ``size_bytes`` are None if it is not stored any more."""

    id: UUID
    call_id: UUID
    started_at: datetime | None
    duration_s: int | None
    key: str | None
    size_bytes: int | None
    sha256: str

    @property
    def filename(self) -> str:
        """Its name in the ZIP: an id, with the ending that the object has."""
        return f"recording-{self.call_id}.{(self.key or '').rpartition('.')[2]}"


@dataclass(frozen=True, slots=True)
class Exports:
    """The exports as one worker sees them: always through the grant of the message at hand."""

    engine: Engine
    worker: str
    lease: timedelta

    def claim(self, grant: str, export_id: UUID) -> Export | None:
        """Own the export for a lease, or None: not dispatched, owned, over, another organisation's, or no such."""
        rows = run_as_task(self.engine, grant, _CLAIM, {"id": export_id, "worker": self.worker, "lease": self.lease})
        return Export(*rows[0]) if rows else None

    def renew(self, grant: str, export: Export) -> None:
        """Own it for another lease, and tell how far it is; or ``LeaseLost``: revoked, or another's."""
        self._fenced(grant, export, _RENEW, lease=self.lease, done=export.done)

    def parts(self, grant: str, export: Export) -> Iterator[Part]:
        """Its recordings, a page at a time, always in the same order."""
        after = UUID(int=0)
        while page := self._page(grant, export, after):
            yield from page
            after = page[-1].id

    def ready(self, grant: str, export: Export, *, size_bytes: int, sha256: str, url: str, left: timedelta) -> None:
        """The link stands on the row of each recording, for as long as it works; or ``LeaseLost``."""
        self._fenced(grant, export, _READY, key=export.key, size_bytes=size_bytes, sha256=sha256, url=url, left=left)

    def failed(self, grant: str, export: Export, code: str) -> None:
        """There will be no ZIP; or ``LeaseLost``."""
        self._fenced(grant, export, _FAILED, code=code)

    def put_back(self, grant: str, export: Export, *, pause: timedelta) -> None:
        """Due again after ``pause``, nothing used up (law 10); or ``LeaseLost``."""
        self._fenced(grant, export, _PUT_BACK, pause=pause)

    def _page(self, grant: str, export: Export, after: UUID) -> Sequence[Part]:
        parameters = {"id": export.id, "after": after, "page": _PAGE}
        return [Part(*row) for row in run_as_task(self.engine, grant, _PARTS, parameters)]

    def _fenced(self, grant: str, export: Export, statement: str, **parameters: object) -> None:
        fence = {"id": export.id, "attempt": export.attempt}
        if not run_as_task(self.engine, grant, statement, fence | parameters):
            raise LeaseLost

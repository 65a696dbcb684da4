"""A download's statements, as a worker runs them: each a transaction of its own under the task grant (laws 2 and 4).

Doing one twice is harmless: the first answer stands, and the link of a second one is thrown away unseen.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task

_ASKED = """
SELECT d.id, d.org_id, d.call_id, c.recording_key, c.recording_size_bytes, c.recording_sha256, c.recording_format
FROM public.recording_downloads AS d
JOIN public.call_logs AS c ON c.org_id = d.org_id AND c.id = d.call_id
WHERE d.id = %(id)s AND d.kind = 'link' AND d.format IS NULL AND d.status = 'requested' AND d.dispatched_until > now()
"""

_READY = """
UPDATE public.recording_downloads SET
    status = 'ready', url = %(url)s, expires_at = now() + %(left)s, sha256 = %(sha256)s
WHERE id = %(id)s AND status = 'requested' RETURNING id
"""

_FAILED = """
UPDATE public.recording_downloads SET status = 'failed', error_code = %(code)s
WHERE id = %(id)s AND status = 'requested' RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the recording that its call has now; ``key`` and what follows are None when it has none."""

    id: UUID
    org_id: UUID
    call_id: UUID
    key: str | None
    size_bytes: int | None
    sha256: str | None
    format: str | None

    @property
    def filename(self) -> str:
        """What a browser saves it as: an id says nothing of a person."""
        return f"recording-{self.call_id}.{self.format}"


@dataclass(frozen=True, slots=True)
class Downloads:
    """The requests of the organisation of a grant."""

    engine: Engine
    grant: str

    def asked(self, download_id: UUID) -> Asked | None:
        """The request, or None: answered already, not dispatched, another organisation's, or no such."""
        rows = run_as_task(self.engine, self.grant, _ASKED, {"id": download_id})
        return Asked(*rows[0]) if rows else None

    def ready(self, asked: Asked, url: str, left: timedelta) -> bool:
        """The link is on the row for as long as it works; False if the request was answered or ended meanwhile."""
        parameters = {"id": asked.id, "url": url, "left": left, "sha256": asked.sha256}
        return bool(run_as_task(self.engine, self.grant, _READY, parameters))

    def failed(self, asked: Asked, code: str) -> None:
        """Nobody will get a link for this request."""
        run_as_task(self.engine, self.grant, _FAILED, {"id": asked.id, "code": code})

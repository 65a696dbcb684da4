"""Renditions' statements, as a worker runs them: each a transaction of its own under the task grant (laws 2 and 4)."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.doorbell import RENDITION_MARK

# The mark holds from now: while it is made nobody rings for it again. The recording is the one that was asked for.
_TAKE = """
WITH taken AS (
    UPDATE public.recording_downloads SET dispatched_until = now() + %(mark)s
    WHERE id = %(id)s AND kind = 'link' AND format IS NOT NULL AND status = 'requested' AND dispatched_until > now()
    RETURNING id, org_id, call_id, format, sha256
)
SELECT t.id, t.org_id, t.call_id, t.format, q.id, q.object_key, q.size_bytes, q.sha256
FROM taken AS t LEFT JOIN public.recording_upload_queue AS q
  ON q.org_id = t.org_id AND q.call_id = t.call_id AND q.status = 'completed' AND q.sha256 = t.sha256
  AND q.erased_at IS NULL
ORDER BY q.id LIMIT 1
"""

_LET_GO = """
UPDATE public.recording_downloads SET dispatched_until = now() + %(until)s
WHERE id = %(id)s AND status = 'requested' RETURNING id
"""

_KEPT = """
SELECT object_key, size_bytes, sha256 FROM public.recording_renditions
WHERE upload_id = %(upload_id)s AND format = %(format)s AND source_sha256 = %(source_sha256)s
"""

# The first one stands, of two that were made at once. The recording is held meanwhile: who erases it finds this row, or
# there is none.
_KEEP = """
INSERT INTO public.recording_renditions
    (org_id, call_id, upload_id, format, object_key, size_bytes, sha256, source_sha256)
SELECT q.org_id, q.call_id, q.id, %(format)s, %(key)s, %(size_bytes)s, %(sha256)s, q.sha256
FROM public.recording_upload_queue AS q
WHERE q.id = %(upload_id)s AND q.status = 'completed' AND q.sha256 = %(source_sha256)s AND q.erased_at IS NULL
FOR SHARE OF q
ON CONFLICT (org_id, upload_id, format) DO NOTHING RETURNING id
"""

_FORGET = """
DELETE FROM public.recording_renditions
WHERE upload_id = %(upload_id)s AND format = %(format)s AND object_key = %(key)s RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Original:
    """The recording that was asked for, as it is stored."""

    upload_id: UUID
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for a recording in ``format``; ``original`` is None if that recording is no more."""

    id: UUID
    org_id: UUID
    call_id: UUID
    format: str
    original: Original | None


@dataclass(frozen=True, slots=True)
class Rendition:
    """A recording in another format, as it is stored. ``sha256`` is lower-case hex."""

    key: str
    size_bytes: int
    sha256: str


def rendition_key(original_key: str, sha256: str, extension: str) -> str:
    """Beside the original. What it is made of is in its name: two that differ are not in each other's way."""
    return f"{original_key.rpartition('.')[0]}.{sha256[:16]}.{extension}"


@dataclass(frozen=True, slots=True)
class Renditions:
    """Those of the organisation of a grant."""

    engine: Engine
    grant: str

    def take(self, download_id: UUID) -> Wanted | None:
        """The request, marked anew; None: answered already, not dispatched, another organisation's, or no such."""
        rows = run_as_task(self.engine, self.grant, _TAKE, {"id": download_id, "mark": RENDITION_MARK})
        if not rows:
            return None
        download_id, org_id, call_id, wanted, *recording = rows[0]
        return Wanted(download_id, org_id, call_id, wanted, Original(*recording) if recording[0] else None)

    def let_go(self, wanted: Wanted, until: timedelta) -> None:
        """Have it rung for again, then."""
        run_as_task(self.engine, self.grant, _LET_GO, {"id": wanted.id, "until": until})

    def kept(self, original: Original, wanted: str) -> Rendition | None:
        """The one that was made of this recording, if one was."""
        rows = run_as_task(self.engine, self.grant, _KEPT, _of(original, wanted))
        return Rendition(*rows[0]) if rows else None

    def keep(self, original: Original, wanted: str, made: Rendition) -> None:
        """Write it down, unless there is one, or the recording is no more."""
        parameters = {"key": made.key, "size_bytes": made.size_bytes, "sha256": made.sha256}
        run_as_task(self.engine, self.grant, _KEEP, _of(original, wanted) | parameters)

    def forget(self, original: Original, wanted: str, lost: Rendition) -> None:
        """The row of one whose object is gone."""
        run_as_task(self.engine, self.grant, _FORGET, _of(original, wanted) | {"key": lost.key})


def _of(original: Original, wanted: str) -> dict[str, object]:
    return {"upload_id": original.upload_id, "format": wanted, "source_sha256": original.sha256}

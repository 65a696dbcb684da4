"""What a worker holds while it owns a row of the queue."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Upload:
    """One claimed row. ``attempt`` is the fence: every later write names it (law 3)."""

    id: UUID
    org_id: UUID
    call_id: UUID
    provider: str
    #: None, like the credentials, for a provider that is not asked by it (``sources.ACCOUNTS``).
    provider_call_id: str | None
    recording_id: str
    source_url: str
    attempt: int
    failures: int
    max_failures: int
    created_at: datetime
    claimed_at: datetime
    sealed_credentials: bytes | None = None
    #: From when it was due to when it was claimed.
    queue_ms: int = 0
    #: From when its age counts: an operator's last retry, or its birth.
    tried_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Copied:
    """What a finished copy proved. ``sha256`` is lower-case hex of the bytes from the first source byte to the last."""

    object_key: str
    size_bytes: int
    sha256: str
    content_type: str
    format: str
    fetch_ms: int
    store_ms: int


def object_key(upload: Upload, extension: str) -> str:
    """Where a recording lives: a function of ids and the row's birth only, so that a second attempt meets the first's
    object instead of making another (DESIGN section 8). ``extension`` has no dot."""
    return f"{call_folder(upload.org_id, upload.call_id, upload.created_at)}{upload.id}.{extension}"


def call_folder(org_id: UUID, call_id: UUID, created_at: datetime) -> str:
    """Where everything lies that was made of a call's uploads of that month, and nothing else."""
    born = created_at.astimezone(UTC)
    return f"{org_id}/{born:%Y}/{born:%m}/{call_id}/"

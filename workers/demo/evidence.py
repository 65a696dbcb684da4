"""What is left when the demo has run: facts, gathered once. The checks judge them and look nothing up themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from workers.demo.handler import Delivery
from workers.demo.killing import Killed

TABLES = ("call_logs", "recording_upload_queue", "recording_upload_metrics", "failed_recording_uploads")
"""What hangs on a call, and must stay within its organisation."""


@dataclass(frozen=True, slots=True)
class Row:
    """An upload with its call, as the administrator sees them. ``waited_s`` is from enqueue to stored."""

    upload_id: UUID
    org_id: UUID
    status: str
    attempt: int
    error_code: str | None = None
    object_key: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    waited_s: float | None = None
    call_status: str | None = None
    call_key: str | None = None
    call_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of ``recording_upload_metrics``."""

    upload_id: UUID
    attempt: int
    outcome: str
    code: str | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """How many rows of which organisation somebody sees who acts for ``org_id``, or for none."""

    viewer: str
    org_id: UUID | None
    table: str
    rows: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the database said to a grant that is none; ``sqlstate`` is None if it was believed."""

    grant: str
    table: str
    sqlstate: str | None


@dataclass(frozen=True, slots=True)
class Handed:
    """What a user of ``org_id`` got: SHA-256 of the bytes behind the link, beside that of the call; and with which code
    another organisation's recording was refused. None: nothing."""

    org_id: UUID
    stored: str | None
    got: str | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class FlowerSight:
    """What Flower answers without a login, and the tasks that it shows to its operator."""

    status_without_login: int
    tasks: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Evidence:
    names: tuple[str, ...]
    org_ids: tuple[UUID, ...]
    deliveries: tuple[Delivery, ...]
    rows: tuple[Row, ...]
    attempts: tuple[Attempt, ...]
    #: Upload -> whether it was given up.
    open_failures: Mapping[UUID, bool]
    #: Uploads that an operator retried, once and on record, and whose failure resolved as recovered.
    repaired: frozenset[UUID]
    #: Key -> SHA-256 of what is stored there, read back.
    objects: Mapping[str, str]
    #: Upload -> SHA-256 of what the provider has, for those that must be stored.
    sources: Mapping[UUID, str]
    #: Table -> organisation -> rows, as the administrator counts them.
    counts: Mapping[str, Mapping[UUID, int]]
    sights: tuple[Sight, ...]
    refusals: tuple[Refusal, ...]
    handed: tuple[Handed, ...]
    flower: FlowerSight
    killed: Killed | None
    took_s: float

    @property
    def enqueued(self) -> frozenset[UUID]:
        """Everything that the database promised to the call handler to take care of."""
        return frozenset(delivery.upload_id for delivery in self.deliveries)

    def of(self, org_id: UUID) -> list[Row]:
        return [row for row in self.rows if row.org_id == org_id]

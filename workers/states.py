"""The states of an upload and what moves it between them. The database's checks and triggers say the same."""

from enum import StrEnum


class Status(StrEnum):
    """Where a row of ``recording_upload_queue`` stands."""

    #: Waits for its time. The dispatcher rings for it; a worker claims it.
    PENDING = "pending"
    #: Owned by one attempt until its lease ends. That attempt settles it; after the lease, any other may claim it.
    PROCESSING = "processing"
    #: The recording is in the organisation's storage, its hash on the row. Nothing moves it again.
    COMPLETED = "completed"
    #: Given up. Only an operator's retry moves it.
    FAILED = "failed"


class Outcome(StrEnum):
    """How an attempt ended: one row of ``recording_upload_metrics`` each."""

    COMPLETED = "completed"
    #: A failure was used up; the row waits for its next try.
    RESCHEDULED = "rescheduled"
    #: Looked too early, or somebody else's move: nothing was used up.
    SNOOZED = "snoozed"
    GIVEN_UP = "given_up"
    #: Put back by a worker that shuts down: nothing was used up.
    INTERRUPTED = "interrupted"


TRANSITIONS: dict[Status, frozenset[Status]] = {
    # To failed: an operator discards it instead of waiting for its next try.
    Status.PENDING: frozenset({Status.PROCESSING, Status.FAILED}),
    # To itself: another attempt claims it after the lease has run out.
    Status.PROCESSING: frozenset({Status.PROCESSING, Status.PENDING, Status.COMPLETED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.PENDING}),
}

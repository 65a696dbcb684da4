"""A backlog of one organisation delays another's recording by one turn: on the real pick and the real claim."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.database import Database
from workers.dispatch import NOBODY, Due, pick
from workers.queue import Queue

BACKLOG = 100_000
CAP, WINDOW = 32, 128
LEASE = timedelta(seconds=60)


class Street:
    """One dispatcher and one worker: rows are picked in turns, and claimed in the order of their doorbells."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.dispatcher = database.connect("recording_dispatcher")
        self.engine = database.engine("recording_worker")
        self.queue = Queue(self.engine, "worker@one", LEASE)
        self.rung: list[Due] = []
        self.after = NOBODY

    def look(self) -> None:
        picked = pick(self.dispatcher, after=self.after, window=WINDOW, cap=CAP, expires=LEASE)
        self.after = picked.after
        self.rung += picked.due

    def claim_next(self) -> UUID:
        """Answer the oldest doorbell; returns whose it was."""
        due = self.rung.pop(0)
        upload = self.queue.claim(self.database.grant(due.org_id), due.id, uuid4())
        assert upload is not None
        return upload.org_id

    def close(self) -> None:
        self.dispatcher.close()
        self.engine.dispose()


@pytest.fixture(scope="module")
def busy(shared: Database) -> UUID:
    """An organisation with 100,000 pending rows."""
    org_id = shared.organisation("Busy")
    call_id = shared.enqueue(org_id).call_id
    shared.run(
        "INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url, next_attempt_at) "
        "SELECT %s, %s, 'https', 'backlog-' || n, 'https://provider.example/r.wav', now() - interval '1 hour' "
        "FROM generate_series(2, %s) AS n",
        org_id,
        call_id,
        BACKLOG,
    )
    return org_id


@pytest.fixture
def street(shared: Database, busy: UUID) -> Iterator[Street]:
    opened = Street(shared)
    yield opened
    opened.close()
    shared.run(
        "UPDATE recording_upload_queue SET status = 'pending', lease_expires_at = NULL, dispatched_until = NULL "
        "WHERE org_id = %s AND (status = 'processing' OR dispatched_until IS NOT NULL)",
        busy,
    )
    shared.run("DELETE FROM recording_upload_queue WHERE org_id <> %s", busy)


@pytest.mark.parametrize("claimed_before", [0, 1, CAP])
def test_a_single_new_row_is_claimed_among_the_next_turn_behind_a_backlog(
    street: Street, busy: UUID, claimed_before: int
) -> None:
    quiet = street.database.organisation("Quiet")
    street.look()
    assert len(street.rung) == CAP, "the backlog fills its own cap and no more"
    for _ in range(claimed_before):
        assert street.claim_next() == busy

    street.database.enqueue(quiet)
    claims: list[UUID] = []
    while quiet not in claims and len(claims) <= CAP:
        street.look()
        claims.append(street.claim_next())
    assert quiet in claims, f"not among the next {CAP + 1} claims"


def test_with_both_waiting_the_single_row_is_the_second_claim_at_the_latest(street: Street) -> None:
    quiet = street.database.organisation("Quiet")
    street.database.enqueue(quiet)
    street.look()
    assert quiet in {street.claim_next(), street.claim_next()}

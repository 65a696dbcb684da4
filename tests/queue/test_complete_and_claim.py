"""Settling one upload and claiming the next of its doorbell: one transaction, and neither is the other's fault."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.desk import COPIED, Desk
from workers.errors import SourceGone
from workers.queue import Queue
from workers.retry import Reschedule
from workers.uploads import Copied, Upload

CLAIM = UUID(int=1)


def rung(desk: Desk) -> UUID:
    upload_id = desk.enqueue()
    desk.change(upload_id, "dispatched_until = now() + interval '1 minute'")
    return upload_id


def worker(desk: Desk) -> Queue:
    """One that rings for nothing."""
    return Queue(desk.engine, "worker@one", timedelta(seconds=60))


def carry_on(desk: Desk, upload: Upload, then: UUID, copied: Copied = COPIED) -> tuple[bool, UUID | None]:
    stands, claimed = worker(desk).complete_and_claim(desk.grant, upload, copied, total_ms=7, then=then, claim_id=CLAIM)
    return stands, claimed.id if claimed else None


def test_both_take_place_in_one_transaction(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    assert carry_on(desk, upload, then) == (True, then)
    assert (desk.row(upload.id)["status"], desk.row(then)["status"]) == ("completed", "processing")
    assert desk.row(then)["worker"] == "worker@one"
    assert desk.database.one("SELECT count(DISTINCT xmin::text) FROM recording_upload_queue") == 1


def test_it_leaves_behind_what_completing_and_claiming_leave(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    _, together = worker(desk).complete_and_claim(desk.grant, upload, COPIED, total_ms=7, then=then, claim_id=CLAIM)
    one, other = desk.claimed(), rung(desk)
    worker(desk).complete(desk.grant, one, COPIED, total_ms=7)
    alone = worker(desk).claim(desk.grant, other, CLAIM)
    assert together is not None
    assert alone is not None
    own = {"id", "call_id", "recording_id", "provider_call_id", "created_at", "claimed_at", "queue_ms", "tried_since"}
    kept = [name for name in Upload.__slots__ if name not in own]
    assert [getattr(together, name) for name in kept] == [getattr(alone, name) for name in kept]
    (metric,), (other_metric,) = desk.metrics(upload.id), desk.metrics(one.id)
    for name in ("outcome", "attempt", "size_bytes", "fetch_ms", "store_ms", "total_ms", "worker"):
        assert metric[name] == other_metric[name]
    assert desk.call(upload.id)["recording_status"] == "completed"


def test_a_lost_lease_changes_nothing_and_the_next_one_is_claimed_all_the_same(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    desk.again(upload)
    before = desk.everything(upload.id)
    assert carry_on(desk, upload, then) == (False, then)
    assert desk.everything(upload.id) == before


@pytest.mark.parametrize("what", ["not rung for", "taken", "another's"])
def test_a_next_one_that_cannot_be_claimed_is_left_and_the_first_settled(desk: Desk, what: str) -> None:
    upload, then = desk.claimed(), rung(desk)
    if what == "not rung for":
        desk.change(then, "dispatched_until = NULL")
    elif what == "taken":
        assert desk.worker("worker@two").claim(desk.grant, then)
    else:
        other = Desk.open(desk.database)
        then = rung(other)
        other.close()
    before = desk.everything(then)
    assert carry_on(desk, upload, then) == (True, None)
    assert desk.everything(then) == before
    assert desk.row(upload.id)["status"] == "completed"


def test_asked_again_because_the_answer_was_lost_it_answers_again(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    assert carry_on(desk, upload, then) == carry_on(desk, upload, then) == (True, then)
    assert (desk.row(then)["attempt"], len(desk.metrics(upload.id))) == (1, 1)


def test_of_a_second_attempt_the_open_failure_is_recovered(desk: Desk) -> None:
    first = desk.claimed()
    desk.worker().fail(desk.grant, first, SourceGone(), Reschedule(first.claimed_at), total_ms=1)
    upload, then = desk.worker().claim(desk.grant, first.id), rung(desk)
    assert upload is not None
    assert carry_on(desk, upload, then) == (True, then)
    assert [failure["resolution"] for failure in desk.failures(upload.id)] == ["recovered"]


def test_a_next_one_with_a_fault_of_its_own_does_not_undo_the_first(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    with desk.database.connect() as connection:
        wrong = sql.SQL("ALTER TABLE recording_upload_queue ADD CHECK (status <> 'processing' OR id <> {}) NOT VALID")
        connection.execute(wrong.format(then))
    with pytest.raises(psycopg.errors.CheckViolation):
        carry_on(desk, upload, then)
    assert (desk.row(upload.id)["status"], desk.row(then)["status"]) == ("completed", "pending")


def test_a_first_one_with_a_fault_of_its_own_claims_nothing(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    with pytest.raises(psycopg.errors.CheckViolation):
        carry_on(desk, upload, then, replace(COPIED, size_bytes=-1))
    assert (desk.row(upload.id)["status"], desk.row(then)["status"]) == ("processing", "pending")

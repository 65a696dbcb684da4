"""Settling one upload and claiming the next of its doorbell: one transaction, and neither is the other's fault."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.desk import COPIED, Desk
from workers.enqueue import enqueue
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


@contextmanager
def redelivered(desk: Desk, upload_id: UUID) -> Iterator[None]:
    """The provider says again where the recording is, and whoever writes that down has not committed yet."""
    asked = (
        "SELECT q.provider, c.provider_call_id, q.recording_id FROM recording_upload_queue AS q"
        " JOIN call_logs AS c ON c.id = q.call_id WHERE q.id = %s"
    )
    provider, call, recording = desk.database.one(asked, upload_id)
    with desk.database.connect("call_handler") as handler, handler.transaction(force_rollback=True):
        again = {"source_url": "https://a.example/again", "recording_id": recording}
        enqueue(handler, org_id=desk.org_id, provider=provider, provider_call_id=call, **again)
        yield


@contextmanager
def wrong(desk: Desk, upload_id: UUID, change: LiteralString) -> Iterator[None]:
    """Something in the database that makes every change of this row an error."""
    with desk.database.connect() as connection:
        connection.execute(sql.SQL(change).format(upload_id))
        connection.commit()
        yield
        connection.execute("ALTER TABLE recording_upload_queue DROP CONSTRAINT IF EXISTS wrong")
        connection.execute("DROP TRIGGER IF EXISTS wrong ON recording_upload_queue")


A_CHECK: LiteralString = (
    "ALTER TABLE recording_upload_queue ADD CONSTRAINT wrong CHECK (status = 'pending' OR id <> {}) NOT VALID"
)
#: Its error is of privileges: none of data, and none of integrity.
A_TRIGGER: LiteralString = (
    "CREATE TRIGGER wrong BEFORE UPDATE ON recording_upload_queue FOR EACH ROW WHEN (NEW.id = {}"
    " AND NEW.status = 'processing') EXECUTE FUNCTION app.refuse_org_change()"
)


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


def test_a_next_one_that_somebody_holds_is_not_waited_for_with_the_first_unsettled(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    with ThreadPoolExecutor(1) as pool, redelivered(desk, then):
        assert pool.submit(carry_on, desk, upload, then).result(timeout=30) == (True, None)
        assert desk.row(upload.id)["status"] == "completed"
    claimed = worker(desk).claim(desk.grant, then, CLAIM)
    assert claimed is not None
    assert claimed.id == then


def test_asked_again_because_the_answer_was_lost_it_answers_again(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    assert carry_on(desk, upload, then) == (True, then)
    assert carry_on(desk, upload, then) == (True, None)
    again = worker(desk).claim(desk.grant, then, CLAIM)
    assert again is not None
    assert again.id == then
    assert (desk.row(then)["attempt"], len(desk.metrics(upload.id))) == (1, 1)


def test_of_a_second_attempt_the_open_failure_is_recovered(desk: Desk) -> None:
    first = desk.claimed()
    desk.worker().fail(desk.grant, first, SourceGone(), Reschedule(first.claimed_at), total_ms=1)
    upload, then = desk.worker().claim(desk.grant, first.id), rung(desk)
    assert upload is not None
    assert carry_on(desk, upload, then) == (True, then)
    assert [failure["resolution"] for failure in desk.failures(upload.id)] == ["recovered"]


@pytest.mark.parametrize("change", [A_CHECK, A_TRIGGER], ids=["a check", "a trigger"])
def test_a_next_one_with_a_fault_of_its_own_does_not_undo_the_first(desk: Desk, change: LiteralString) -> None:
    upload, then = desk.claimed(), rung(desk)
    with wrong(desk, then, change):
        assert carry_on(desk, upload, then) == (True, None)
        with pytest.raises(psycopg.Error):
            worker(desk).claim(desk.grant, then, CLAIM)
    assert (desk.row(upload.id)["status"], desk.row(then)["status"]) == ("completed", "pending")


def test_a_first_one_with_a_fault_of_its_own_claims_nothing(desk: Desk) -> None:
    upload, then = desk.claimed(), rung(desk)
    with pytest.raises(psycopg.errors.CheckViolation):
        carry_on(desk, upload, then, replace(COPIED, size_bytes=-1))
    assert (desk.row(upload.id)["status"], desk.row(then)["status"]) == ("processing", "pending")

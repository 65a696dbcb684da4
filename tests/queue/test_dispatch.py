"""Who is next: fair between organisations, ordered within one, exact in what it counts."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.database import Database
from tests.desk import RungWorker
from workers.dispatch import NOBODY, Due, Picked, pick, unmark

Picker = Callable[..., Picked]


@pytest.fixture
def look(database: Database) -> Any:
    """One look of a dispatcher, as its own login."""
    with database.connect("recording_dispatcher") as connection:

        def once(
            *, after: UUID = NOBODY, window: int = 100, cap: int = 100, expires_s: float = 30, together: int = 1
        ) -> Picked:
            expires = timedelta(seconds=expires_s)
            return pick(connection, after=after, window=window, cap=cap, expires=expires, together=together)

        yield once


def backlog(database: Database, org_id: UUID, rows: int, *, priority: int = 5, due_in_s: float = 0) -> None:
    """Many pending rows of one call, each a second older than the one before."""
    call_id = database.enqueue(org_id, priority=priority).call_id
    database.run("DELETE FROM recording_upload_queue WHERE call_id = %s", call_id)
    database.run(
        "INSERT INTO recording_upload_queue "
        "(org_id, call_id, provider, recording_id, source_url, priority, next_attempt_at) "
        "SELECT %s, %s, 'https', gen_random_uuid()::text, 'https://provider.example/r.wav', %s,"
        "       now() + make_interval(secs => %s - n) FROM generate_series(1, %s) AS n",
        org_id,
        call_id,
        priority,
        due_in_s,
        rows,
    )


def suspend(database: Database, org_id: UUID, status: str = "suspended") -> None:
    database.run("UPDATE organizations SET status = %s WHERE id = %s", status, org_id)


def expire_marks(database: Database) -> None:
    database.run("UPDATE recording_upload_queue SET dispatched_until = now() - interval '1 second'")


def expire_leases(database: Database) -> None:
    database.run(
        "UPDATE recording_upload_queue SET lease_expires_at = now() - interval '1 second' WHERE status = 'processing'"
    )


def served(picked: Picked) -> list[UUID]:
    return [row.org_id for row in picked.due]


def ids(due: Sequence[Due]) -> list[UUID]:
    return [row.id for row in due]


def queue(database: Database) -> RungWorker:
    return RungWorker(database.engine("recording_worker"), "worker@test", timedelta(seconds=60), database)


def test_only_due_rows_are_picked_and_each_of_them_once(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    due = database.enqueue(org_id).upload_id
    backlog(database, org_id, 1, due_in_s=60)
    assert ids(look().due) == [due]
    assert look().due == ()
    assert database.one("SELECT dispatched_until > now() FROM recording_upload_queue WHERE id = %s", due)


def test_within_an_organisation_the_more_urgent_goes_first_then_the_older(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    for priority in (9, 0, 5):
        backlog(database, org_id, 3, priority=priority)
    expected = database.all("SELECT id FROM recording_upload_queue ORDER BY priority, next_attempt_at")
    assert ids(look().due) == [row_id for (row_id,) in expected]


def test_a_backlog_of_one_organisation_does_not_delay_another_by_more_than_a_turn(
    database: Database, look: Picker
) -> None:
    heavy, light = database.organisation("heavy"), database.organisation("light")
    backlog(database, heavy, 2000)
    backlog(database, light, 1)
    assert light in served(look(window=8, cap=8))[:2]


def test_organisations_take_turns_row_by_row(database: Database, look: Picker) -> None:
    orgs = sorted(database.organisation() for _ in range(3))
    for org_id in orgs:
        backlog(database, org_id, 5)
    assert served(look(window=7)) == [*orgs, *orgs, orgs[0]]


def test_turns_begin_behind_the_organisation_served_last(database: Database, look: Picker) -> None:
    orgs = sorted(database.organisation() for _ in range(5))
    for org_id in orgs:
        backlog(database, org_id, 5)
    first = look(window=3)
    expire_marks(database)
    second = look(window=3, after=first.after)
    assert served(first) == orgs[:3]
    assert served(second) == [*orgs[3:], orgs[0]]


@pytest.mark.parametrize("idle", ["waiting", "suspended", "at its cap"])
def test_organisations_that_cannot_be_served_do_not_take_the_turn_of_one_that_can(
    database: Database, look: Picker, idle: str
) -> None:
    orgs = sorted(database.organisation() for _ in range(6))
    for org_id in orgs[:5]:
        backlog(database, org_id, 2, due_in_s=600 if idle == "waiting" else 0)
        if idle == "suspended":
            suspend(database, org_id)
    if idle == "at its cap":
        assert len(look(cap=1).due) == 5
    backlog(database, orgs[5], 1)
    in_flight = 5 if idle == "at its cap" else 0
    assert served(look(window=in_flight + 1, cap=1)) == [orgs[5]]


def test_an_abandoned_row_waits_for_the_turn_of_its_organisation(database: Database, look: Picker) -> None:
    first, second = sorted((database.organisation(), database.organisation()))
    lost = database.enqueue(first, priority=9)
    assert queue(database).claim(database.grant(first), lost.upload_id)
    expire_leases(database)
    backlog(database, first, 5, priority=0)
    backlog(database, second, 5)
    after, turns = NOBODY, []
    for _ in range(4):
        picked = look(window=1, after=after)
        turns += served(picked)
        after = picked.after
        expire_marks(database)
    assert turns == [first, second, first, second]


def test_an_organisation_has_no_more_in_flight_than_its_cap(database: Database, look: Picker) -> None:
    org_id, other = database.organisation(), database.organisation()
    backlog(database, org_id, 20)
    backlog(database, other, 20)
    picked = look(cap=3)
    assert sorted(served(picked)) == sorted([org_id, other] * 3)
    assert look(cap=3).due == ()
    # A claim turns the mark into a lease, which counts as much; what is settled makes room for just as many.
    mine = [row.id for row in picked.due if row.org_id == org_id]
    worker, grant = queue(database), database.grant(org_id)
    claimed = [worker.claim(grant, row_id) for row_id in mine]
    assert look(cap=3).due == ()
    for upload in claimed[:2]:
        assert upload
        worker.put_back(grant, upload, total_ms=1)
    assert served(look(cap=3)) == [org_id, org_id]
    assert look(cap=3).due == ()


def test_all_together_have_no_more_in_flight_than_the_window(database: Database, look: Picker) -> None:
    for _ in range(4):
        backlog(database, database.organisation(), 5)
    assert len(look(window=6).due) == 6
    assert look(window=6).due == ()
    assert len(look(window=7).due) == 1


def test_a_row_whose_mark_ran_out_unclaimed_is_picked_again(database: Database, look: Picker) -> None:
    row_id = database.enqueue(database.organisation()).upload_id
    assert ids(look().due) == [row_id]
    expire_marks(database)
    assert ids(look().due) == [row_id]


def test_a_row_whose_lease_ran_out_is_picked_once_and_claimed_again(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    row_id = database.enqueue(org_id).upload_id
    worker, grant = queue(database), database.grant(org_id)
    assert worker.claim(grant, row_id)
    assert look().due == ()
    expire_leases(database)
    assert ids(look().due) == [row_id]
    assert look().due == ()
    again = worker.claim(grant, row_id)
    assert again
    assert again.attempt == 2


def test_a_suspended_organisation_is_not_served_and_resumes_where_it_stood(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    row_id = database.enqueue(org_id).upload_id
    suspend(database, org_id)
    assert look().due == ()
    suspend(database, org_id, "active")
    assert ids(look().due) == [row_id]


def test_a_row_locked_by_an_open_transaction_holds_up_nobody(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    held, free = database.enqueue(org_id), database.enqueue(org_id)
    with database.connect() as caller, caller.transaction():
        caller.execute("SELECT FROM recording_upload_queue WHERE id = %s FOR UPDATE", (held.upload_id,))
        assert ids(look().due) == [free.upload_id]
    assert ids(look().due) == [held.upload_id]


def test_marks_that_are_taken_back_make_the_rows_due_again(database: Database, look: Picker) -> None:
    org_id = database.organisation()
    pending, lost = database.enqueue(org_id).upload_id, database.enqueue(org_id).upload_id
    assert queue(database).claim(database.grant(org_id), lost)
    expire_leases(database)
    picked = look()
    assert set(ids(picked.due)) == {pending, lost}
    with database.connect("recording_dispatcher") as connection:
        unmark(connection, picked.due)
    assert set(ids(look().due)) == {pending, lost}


@pytest.mark.parametrize("column", ["source_url", "call_id", "recording_id", "worker", "object_key", "*"])
def test_the_dispatcher_cannot_read_what_it_does_not_need(shared: Database, column: str) -> None:
    with shared.connect("recording_dispatcher") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SELECT {column} FROM recording_upload_queue")


@pytest.mark.parametrize("column", ["status", "org_id", "attempt", "next_attempt_at", "lease_expires_at"])
def test_the_dispatcher_can_change_nothing_but_its_mark(shared: Database, column: str) -> None:
    with shared.connect("recording_dispatcher") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"UPDATE recording_upload_queue SET {column} = {column}")


def test_a_turn_may_be_for_several_rows_of_an_organisation(database: Database, look: Picker) -> None:
    first, second = sorted(database.organisation() for _ in range(2))
    backlog(database, first, 7)
    backlog(database, second, 4)
    assert served(look(together=3)) == [first] * 3 + [second] * 3 + [first] * 3 + [second] + [first]


def test_turns_for_several_fill_the_room_also_where_most_have_one(database: Database, look: Picker) -> None:
    several, *singles = sorted(database.organisation() for _ in range(6))
    backlog(database, several, 5)
    for org_id in singles:
        database.enqueue(org_id)
    picked = look(window=8, together=3)
    assert served(picked) == [several] * 3 + singles
    assert served(look(after=picked.after, window=20, cap=4, together=3)) == [several]

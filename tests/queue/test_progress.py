"""What ``recordings status`` counts by the indexes, held to a plain count of the table."""

from contextlib import closing
from uuid import UUID

from tests.database import Database
from tests.desk import Desk
from tests.operating import given_up, waiting
from tests.queue.test_downloads import stored_call
from tests.queue.test_plans import rows_read
from workers import progress
from workers.progress import OrganisationProgress, read_progress


def shown(database: Database) -> dict[UUID, OrganisationProgress]:
    with database.connect("recording_ops") as ops:
        return {row.org_id: row for row in read_progress(ops).organisations}


def counted(database: Database) -> dict[tuple[UUID, str], int]:
    rows = database.all("SELECT org_id, status, count(*) FROM recording_upload_queue GROUP BY org_id, status")
    return {(org_id, status): n for org_id, status, n in rows}


def erase(database: Database, call_id: UUID) -> None:
    with database.connect("recording_ops") as ops:
        answer = ops.execute("SELECT public.erase_recording(%s, 'the patient asked')", (call_id,)).fetchone()
    assert answer == ("erasing",)


def busy(database: Database, *, stored: int) -> UUID:
    """An organisation with some of each: pending, waiting for another try, in work, stored, failed, erased."""
    desk = Desk.open(database)
    with closing(desk):
        for _ in range(stored):
            stored_call(desk)
        desk.enqueue()
        waiting(desk)
        desk.claimed()
        given_up(desk)
        erase(database, stored_call(desk))
        # Erased before it was stored: it has failed.
        erase(database, desk.call(waiting(desk))["id"])
    return desk.org_id


def test_what_status_shows_is_what_a_count_of_the_table_finds(database: Database) -> None:
    orgs = [busy(database, stored=1), busy(database, stored=3), database.organisation("new")]
    with closing(Desk.open(database)) as one:
        stored_call(one)
    found, there = shown(database), counted(database)
    assert set(found) == {*orgs, one.org_id}
    rows = {org_id: (row.pending, row.processing, row.completed, row.failed) for org_id, row in found.items()}
    statuses = ("pending", "processing", "completed", "failed")
    assert rows == {org_id: tuple(there.get((org_id, status), 0) for status in statuses) for org_id in found}
    assert [rows[org_id] for org_id in (*orgs, one.org_id)] == [(2, 1, 2, 2), (2, 1, 4, 2), (0, 0, 0, 0), (0, 0, 1, 0)]


def test_organisations_stand_in_the_order_of_their_names_and_suspended_ones_too(database: Database) -> None:
    assert shown(database) == {}
    named = {name: database.organisation(name) for name in ("b", "c", "a")}
    database.run("UPDATE organizations SET status = 'suspended' WHERE name = 'b'")
    assert list(shown(database).values()) == [
        OrganisationProgress(named["a"], "a", "active", 0, 0, 0, 0),
        OrganisationProgress(named["b"], "b", "suspended", 0, 0, 0, 0),
        OrganisationProgress(named["c"], "c", "active", 0, 0, 0, 0),
    ]


def test_rows_are_counted_once_even_where_the_planner_takes_many_organisations_for_one(database: Database) -> None:
    busy(database, stored=5)
    database.run("ANALYZE organizations, recording_upload_queue")
    for number in range(30):
        database.organisation(f"new {number}")
    with database.connect("recording_ops") as ops:
        for way in ("seqscan", "bitmapscan", "hashagg", "sort"):
            # As it goes about a large table: a count in the order of an index, which keeps nothing for a second time.
            ops.execute(f"SET enable_{way} = off".encode())
        row = ops.execute("EXPLAIN (ANALYZE, FORMAT json) " + progress._BY_ORGANISATION).fetchone()
    assert row
    kept = "SELECT count(*) + count(*) FILTER (WHERE status <> 'completed') FROM recording_upload_queue"
    assert sum(rows_read(row[0][0]["Plan"])) == database.one(kept)

"""What workers say of themselves, and what an operator sees of it."""

import json
import threading

import psycopg
import pytest
from typer.testing import CliRunner

from tests.database import Database
from tests.waiting import until
from workers.cli import app
from workers.crew import Worker, read_crew
from workers.progress import read_progress
from workers.self_report import Condition, SelfReport

NAME = "worker1@recordings"


def report(database: Database, *conditions: Condition, name: str = NAME) -> SelfReport:
    said = iter(conditions)
    return SelfReport(database.url("recording_worker"), name, 8, lambda: next(said), threading.Event())


def crew(database: Database) -> tuple[Worker, ...]:
    with database.connect("recording_ops") as ops:
        return read_crew(ops)


def test_a_worker_says_how_it_is_and_is_forgotten_when_it_leaves(database: Database) -> None:
    worker = report(
        database, Condition(2), Condition(8, ("store_denied", 40.0)), Condition(0, None, 25.0), Condition(0)
    )
    worker.say(leaving=False)
    (well,) = crew(database)
    assert (well.worker, well.busy, well.slots, well.state, well.remark) == (NAME, 2, 8, "well", "")
    assert well.seen_s is not None
    assert well.seen_s < 5
    worker.say(leaving=False)
    (paused,) = crew(database)
    assert paused.state == "paused"
    assert paused.remark == (
        "storing paused: store_denied for 40 s: the store refuses: check the bucket and its permissions"
    )
    worker.say(leaving=False)
    (deaf,) = crew(database)
    assert deaf.state == "deaf"
    assert deaf.remark == "has heard no doorbell for 25 s while some waited: it replaces itself"
    worker.leave()
    assert crew(database) == ()


def test_one_that_was_not_seen_for_a_while_is_silent_and_after_an_hour_forgotten(database: Database) -> None:
    silent, other = (
        report(database, Condition(1)),
        report(database, Condition(0), Condition(0), name="worker2@recordings"),
    )
    silent.say(leaving=False)
    database.run("UPDATE app.workers SET seen_at = now() - interval '30 s'")
    other.say(leaving=False)
    assert [(worker.worker, worker.state) for worker in crew(database)] == [
        (NAME, "silent"),
        ("worker2@recordings", "well"),
    ]
    database.run("UPDATE app.workers SET seen_at = now() - interval '61 min' WHERE name = %s", NAME)
    other.leave()
    assert crew(database) == ()
    assert database.one("SELECT count(*) FROM app.workers") == 0
    for each in (silent, other):
        each.close()


def test_a_worker_is_known_by_what_it_holds_too_and_json_has_both(database: Database) -> None:
    org = database.organisation()
    database.enqueue(org)
    database.run(
        "UPDATE recording_upload_queue SET status = 'processing', attempt = 1, worker = 'lost@recordings', "
        "lease_expires_at = now() - interval '1 s'"
    )
    (lost,) = crew(database)
    assert (lost.worker, lost.processing, lost.overdue, lost.state) == ("lost@recordings", 1, 1, "unreported")
    with database.connect("recording_ops") as ops:
        (shown,) = json.loads(json.dumps(read_progress(ops).as_json()))["workers"]
    assert shown["worker"] == "lost@recordings"
    assert {"processing", "overdue", "slots", "busy", "seen_s", "paused_code", "paused_s", "deaf_s", "state"} <= set(
        shown
    )


def test_a_worker_reads_no_report_and_writes_none_but_by_the_function(database: Database) -> None:
    with database.connect("recording_worker") as worker:
        for statement in (
            "SELECT name FROM app.workers",
            "DELETE FROM app.workers",
            "INSERT INTO app.workers (name, started_at, seen_at, slots, busy) VALUES ('x', now(), now(), 1, 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)


@pytest.mark.parametrize("login", ["recording_dispatcher", "call_handler", "recording_ops", "authenticator"])
def test_nobody_else_reports(database: Database, login: str) -> None:
    with database.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT app.report_worker('x', 1, 1, 1)")


def test_operators_read_and_change_nothing(database: Database) -> None:
    with database.connect("recording_ops") as ops:
        assert ops.execute("SELECT count(*) FROM app.workers").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ops.execute("DELETE FROM app.workers")


def test_whatever_a_worker_says_is_bounded(database: Database) -> None:
    with database.connect("recording_worker") as worker:
        worker.execute(
            "SELECT app.report_worker(repeat('n', 9000), 'Infinity', -5, -1, repeat('c', 9000), 'NaN', '-Infinity')"
        )
        worker.execute("SELECT app.report_worker('nothing', NULL, 1, 1, 'store_denied')")
        worker.execute("SELECT app.report_worker('w' || n, 1, 1, 1) FROM generate_series(1, 1100) AS n")
        worker.execute("SELECT app.report_worker('w7', 1, 5, 1)")
    assert database.one("SELECT count(*), max(length(name)), max(length(paused_code)) FROM app.workers") == (
        1000,
        255,
        64,
    )
    assert database.one("SELECT slots FROM app.workers WHERE name = 'w7'") == 5, "who is known goes on reporting"


def test_a_database_that_was_away_hears_the_next_report(database: Database) -> None:
    worker = report(database, *[Condition(1)] * 4)
    worker.say(leaving=False)
    database.run("DELETE FROM app.workers")
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'recordings-worker-report'"
    )
    until(lambda: database.one("SELECT count(*) FROM pg_stat_activity WHERE usename = 'recording_worker'") == 0)
    worker.say(leaving=False)
    worker.say(leaving=False)
    assert [seen.worker for seen in crew(database)] == [NAME]
    worker.close()


def test_status_shows_it_to_a_person(database: Database) -> None:
    worker = report(database, Condition(3, ("store_throttled", 7.0)))
    worker.say(leaving=False)
    worker.close()
    settings = {"DATABASE_URL": database.url("recording_ops"), "COLUMNS": "200"}
    shown = CliRunner().invoke(app, ["status"], env=settings)
    assert shown.exit_code == 0
    (line,) = (line for line in shown.stdout.splitlines() if NAME in line)
    assert "3 of 8" in line
    assert "storing paused: store_throttled for 7 s: the store asks for fewer requests" in line

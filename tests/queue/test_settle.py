"""Settling: all of it or nothing, once, and only by the attempt that owns the row (law 3)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy.pool import QueuePool

from tests.desk import COPIED, Desk
from workers.errors import LeaseLost, SourceGone, SourceNotReady, SourceTimeout, StoreDenied
from workers.queue import Queue
from workers.retry import GiveUp, Reschedule, Snooze
from workers.uploads import Upload

SOON = datetime(2040, 1, 1, tzinfo=UTC)

Settle = Callable[[Queue, str, Upload], None]

SETTLEMENTS: dict[str, Settle] = {
    "complete": lambda queue, grant, upload: queue.complete(grant, upload, COPIED, total_ms=1),
    "reschedule": lambda queue, grant, upload: queue.fail(grant, upload, SourceTimeout(), Reschedule(SOON), total_ms=1),
    "snooze": lambda queue, grant, upload: queue.fail(grant, upload, SourceNotReady(), Snooze(SOON), total_ms=1),
    "give up": lambda queue, grant, upload: queue.fail(grant, upload, SourceGone(), GiveUp(), total_ms=1),
    "put back": lambda queue, grant, upload: queue.put_back(grant, upload, total_ms=1),
}
every_settlement = pytest.mark.parametrize("settle", SETTLEMENTS.values(), ids=SETTLEMENTS.keys())


def test_complete_writes_row_call_and_metric_and_resolves_the_failure(desk: Desk) -> None:
    first = desk.claimed()
    desk.worker().fail(desk.grant, first, SourceTimeout(), Reschedule(datetime.now(UTC)), total_ms=7)
    desk.change(first.id, "next_attempt_at = now()")
    upload = desk.worker().claim(desk.grant, first.id)
    assert upload
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=42)
    row, call = desk.row(upload.id), desk.call(upload.id)
    assert (row["status"], row["object_key"], row["sha256"]) == ("completed", COPIED.object_key, COPIED.sha256)
    assert (row["lease_expires_at"], row["dispatched_until"], row["error_code"]) == (None, None, None)
    assert (call["recording_status"], call["recording_key"]) == ("completed", COPIED.object_key)
    assert (call["recording_sha256"], call["recording_size_bytes"]) == (COPIED.sha256, COPIED.size_bytes)
    assert (call["recording_format"], call["recording_uploaded_at"]) == ("wav", row["completed_at"])
    metric = desk.metrics(upload.id)[-1]
    assert (metric["attempt"], metric["outcome"], metric["error_code"]) == (2, "completed", None)
    assert (metric["fetch_ms"], metric["store_ms"], metric["total_ms"]) == (20, 10, 42)
    (failure,) = desk.failures(upload.id)
    assert (failure["resolution"], failure["next_retry_at"]) == ("recovered", None)
    assert failure["resolved_at"] == row["completed_at"]


def test_complete_is_all_or_nothing(desk: Desk) -> None:
    upload = desk.claimed()
    # The metric of this attempt is there already: the last of the statement's writes must fail, and all with it.
    desk.database.run(
        "INSERT INTO recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome) "
        "VALUES (%s, %s, %s, 1, 'snoozed')",
        upload.org_id,
        upload.call_id,
        upload.id,
    )
    before = desk.everything(upload.id)
    with pytest.raises(psycopg.errors.UniqueViolation):
        desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)
    assert desk.everything(upload.id) == before


@every_settlement
def test_a_zombie_changes_nothing(desk: Desk, settle: Settle) -> None:
    zombie = desk.claimed("worker@zombie")
    owner = desk.again(zombie)
    before = desk.everything(zombie.id)
    with pytest.raises(LeaseLost):
        settle(desk.worker("worker@zombie"), desk.grant, zombie)
    with pytest.raises(LeaseLost):
        desk.worker("worker@zombie").renew(desk.grant, zombie)
    assert desk.everything(zombie.id) == before
    settle(desk.worker("worker@two"), desk.grant, owner)


@every_settlement
def test_a_zombie_changes_nothing_after_its_successor_has_settled(desk: Desk, settle: Settle) -> None:
    zombie = desk.claimed("worker@zombie")
    owner = desk.again(zombie)
    settle(desk.worker(), desk.grant, owner)
    before = desk.everything(zombie.id)
    with pytest.raises(LeaseLost):
        settle(desk.worker("worker@zombie"), desk.grant, zombie)
    assert desk.everything(zombie.id) == before


@every_settlement
def test_settling_twice_is_settling_once(desk: Desk, settle: Settle) -> None:
    upload = desk.claimed()
    settle(desk.worker(), desk.grant, upload)
    before = desk.everything(upload.id)
    settle(desk.worker(), desk.grant, upload)
    assert desk.everything(upload.id) == before


@every_settlement
def test_an_attempt_whose_lease_ran_out_may_settle_until_another_takes_over(desk: Desk, settle: Settle) -> None:
    upload = desk.claimed()
    desk.expire(upload.id)
    settle(desk.worker(), desk.grant, upload)
    assert len(desk.metrics(upload.id)) == 1
    assert desk.row(upload.id)["lease_expires_at"] is None


def test_renewing_keeps_the_row(desk: Desk) -> None:
    upload = desk.claimed()
    desk.expire(upload.id)
    desk.worker(lease_s=600).renew(desk.grant, upload)
    assert desk.row(upload.id)["lease_expires_at"] > upload.claimed_at + timedelta(seconds=300)
    assert desk.worker("worker@two").claim(desk.grant, upload.id) is None


def test_a_rescheduled_attempt_uses_up_a_failure_and_opens_one(desk: Desk) -> None:
    upload = desk.claimed()
    SETTLEMENTS["reschedule"](desk.worker(), desk.grant, upload)
    row = desk.row(upload.id)
    assert (row["status"], row["failures"], row["next_attempt_at"]) == ("pending", 1, SOON)
    assert (row["error_code"], row["worker"], row["lease_expires_at"]) == ("source_timeout", None, None)
    (failure,) = desk.failures(upload.id)
    assert (failure["error_code"], failure["next_retry_at"]) == ("source_timeout", SOON)
    assert failure["error_message"] == "The provider stopped sending, or the whole transfer took too long."
    assert [metric["outcome"] for metric in desk.metrics(upload.id)] == ["rescheduled"]


def test_looking_too_early_uses_up_nothing_and_bothers_nobody(desk: Desk) -> None:
    upload = desk.claimed()
    SETTLEMENTS["snooze"](desk.worker(), desk.grant, upload)
    row = desk.row(upload.id)
    assert (row["status"], row["failures"], row["next_attempt_at"]) == ("pending", 0, SOON)
    assert desk.failures(upload.id) == []
    assert [metric["outcome"] for metric in desk.metrics(upload.id)] == ["snoozed"]


def test_a_store_that_refuses_uses_up_nothing_and_calls_the_operator(desk: Desk) -> None:
    upload = desk.claimed()
    desk.worker().fail(desk.grant, upload, StoreDenied(), Snooze(SOON), total_ms=1)
    assert desk.row(upload.id)["failures"] == 0
    assert [failure["error_code"] for failure in desk.failures(upload.id)] == ["store_denied"]


def test_giving_up_marks_row_failure_and_call(desk: Desk) -> None:
    upload = desk.claimed()
    SETTLEMENTS["give up"](desk.worker(), desk.grant, upload)
    row = desk.row(upload.id)
    assert (row["status"], row["error_code"], row["failures"]) == ("failed", "source_gone", 1)
    (failure,) = desk.failures(upload.id)
    assert failure["given_up_at"] is not None
    assert failure["next_retry_at"] is None
    assert desk.call(upload.id)["recording_status"] == "failed"


def test_a_second_failure_is_added_to_the_open_one(desk: Desk) -> None:
    upload = desk.claimed()
    SETTLEMENTS["reschedule"](desk.worker(), desk.grant, upload)
    desk.change(upload.id, "next_attempt_at = now()")
    again = desk.worker().claim(desk.grant, upload.id)
    assert again
    SETTLEMENTS["give up"](desk.worker(), desk.grant, again)
    (failure,) = desk.failures(upload.id)
    assert (failure["failure_count"], failure["error_code"]) == (2, "source_gone")
    assert failure["first_failed_at"] < failure["last_failed_at"]


def test_an_attempt_that_was_put_back_costs_nothing_and_is_due_at_once(desk: Desk) -> None:
    upload = desk.claimed()
    SETTLEMENTS["put back"](desk.worker(), desk.grant, upload)
    row = desk.row(upload.id)
    assert (row["status"], row["failures"], row["error_code"]) == ("pending", 0, None)
    assert desk.failures(upload.id) == []
    again = desk.worker().claim(desk.grant, upload.id)
    assert again
    assert (again.attempt, again.failures) == (2, 0)


def test_every_attempt_leaves_one_metric(desk: Desk) -> None:
    upload = desk.claimed()
    for name in ("put back", "reschedule", "snooze", "give up"):
        SETTLEMENTS[name](desk.worker(), desk.grant, upload)
        if name != "give up":
            desk.change(upload.id, "next_attempt_at = now()")
            again = desk.worker().claim(desk.grant, upload.id)
            assert again
            upload = again
    outcomes = [(metric["attempt"], metric["outcome"]) for metric in desk.metrics(upload.id)]
    assert outcomes == [(1, "interrupted"), (2, "rescheduled"), (3, "snoozed"), (4, "given_up")]


def test_a_connection_that_was_cut_is_replaced(desk: Desk) -> None:
    upload = desk.claimed()
    desk.database.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'recording_worker' AND datname = current_database()"
    )
    with pytest.raises(psycopg.OperationalError):
        desk.worker().renew(desk.grant, upload)
    desk.worker().renew(desk.grant, upload)


def test_a_server_that_is_away_is_the_drivers_error(desk: Desk) -> None:
    upload = desk.claimed()
    nowhere = desk.database.engine("recording_worker", poolclass=QueuePool, connect_args={"port": 1})
    with pytest.raises(psycopg.OperationalError):
        Queue(nowhere, "worker@one", timedelta(seconds=60)).renew(desk.grant, upload)

"""The way back from a failed upload, as the login recording_ops has it: two functions, and a trail of each action."""

from datetime import timedelta
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.desk import COPIED, Desk
from tests.operating import LATER, audit, claim, discard, given_up, retry, waiting
from workers.errors import SourceForbidden, SourceGone, SourceNotReady, SourceTimeout
from workers.retry import GiveUp, Reschedule, RetryPolicy, Snooze, decide


def test_a_retry_brings_a_failed_upload_back_with_all_its_tries_and_leaves_one_trace(desk: Desk) -> None:
    upload_id = given_up(desk, priority=2)
    desk.change(upload_id, "failures = 10")
    (before,) = desk.failures(upload_id)
    assert retry(desk, upload_id) == "retried"
    row, (failure,) = desk.row(upload_id), desk.failures(upload_id)
    assert (row["status"], row["failures"], row["attempt"], row["priority"]) == ("pending", 0, 1, 2)
    assert row["next_attempt_at"] == row["retried_at"] == failure["next_retry_at"]
    assert desk.call(upload_id)["recording_status"] == "pending"
    assert failure["given_up_at"] is failure["resolved_at"] is None
    for kept in ("id", "failure_count", "first_failed_at", "last_failed_at", "error_code"):
        assert failure[kept] == before[kept]
    detail = {"status": "failed", "error_code": "source_forbidden", "failures": 10, "attempt": 1}
    assert audit(desk, upload_id) == [("upload_retried", "recording_ops", desk.org_id, "the provider was told", detail)]


def test_what_was_retried_and_completes_is_recovered(desk: Desk) -> None:
    upload_id = given_up(desk)
    assert retry(desk, upload_id) == "retried"
    upload = claim(desk, upload_id)
    assert (upload.attempt, upload.failures) == (2, 0)
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)
    (failure,) = desk.failures(upload_id)
    assert (failure["resolution"], failure["next_retry_at"]) == ("recovered", None)
    assert desk.call(upload_id)["recording_status"] == "completed"


def test_a_failure_is_as_good_a_name_as_its_upload(desk: Desk) -> None:
    first, second = given_up(desk), given_up(desk)
    (failure,) = desk.failures(first)
    assert retry(desk, failure["id"]) == "retried"
    assert desk.row(first)["status"] == "pending"
    (failure,) = desk.failures(second)
    assert discard(desk, failure["id"]) == "discarded"
    assert [row[0] for row in audit(desk, second)] == ["upload_discarded"]


def test_the_dispatcher_is_rung(desk: Desk) -> None:
    upload_id = given_up(desk)
    with desk.database.connect() as listener:
        listener.execute("LISTEN recording_upload_queue")
        assert retry(desk, upload_id) == "retried"
        assert [heard.channel for heard in listener.notifies(timeout=5, stop_after=1)] == ["recording_upload_queue"]


def test_one_that_waits_for_its_next_try_need_not_wait(desk: Desk) -> None:
    upload_id = waiting(desk)
    assert retry(desk, upload_id) == "retried"
    assert (desk.row(upload_id)["failures"], desk.row(upload_id)["attempt"]) == (0, 1)
    assert claim(desk, upload_id).attempt == 2
    assert len(audit(desk, upload_id)) == 1


def test_age_counts_from_the_retry_and_the_objects_key_from_birth(desk: Desk) -> None:
    upload_id = given_up(desk)
    desk.change(upload_id, "created_at = now() - interval '90 days'")
    assert retry(desk, upload_id) == "retried"
    upload = claim(desk, upload_id)
    assert upload.tried_since is not None
    assert upload.claimed_at - upload.created_at > timedelta(days=89)
    assert upload.claimed_at - upload.tried_since < timedelta(minutes=5)
    for error in (SourceTimeout(), SourceNotReady()):
        ages = (upload.claimed_at - upload.tried_since, upload.claimed_at - upload.created_at)
        young, old = (decide(error, 0, age, upload.claimed_at, Random(1), RetryPolicy()) for age in ages)
        assert isinstance(young, Reschedule | Snooze)
        assert isinstance(old, GiveUp)


def test_before_any_retry_age_counts_from_birth(desk: Desk) -> None:
    upload = desk.claimed()
    assert upload.tried_since == upload.created_at


@pytest.mark.parametrize("act", [retry, discard])
def test_what_is_running_or_stored_or_unknown_is_left_alone(desk: Desk, act: Any) -> None:
    running, stored = desk.claimed(), desk.claimed()
    desk.worker().complete(desk.grant, stored, COPIED, total_ms=1)
    before = desk.everything(running.id), desk.everything(stored.id)
    assert act(desk, running.id) == "already_running"
    assert act(desk, stored.id) == "already_completed"
    assert act(desk, uuid4()) == "not_found"
    desk.expire(running.id)
    assert act(desk, running.id) == "already_running"
    assert (desk.everything(stored.id)) == before[1]
    assert audit(desk, running.id) == audit(desk, stored.id) == []


def test_a_second_retry_is_a_no_op(desk: Desk) -> None:
    upload_id = given_up(desk)
    assert retry(desk, upload_id) == "retried"
    before = desk.everything(upload_id)
    assert retry(desk, upload_id) == "already_queued"
    assert desk.everything(upload_id) == before
    assert len(audit(desk, upload_id)) == 1


def test_discarding_closes_the_failure_and_nothing_claims_the_upload_again(desk: Desk) -> None:
    upload_id = given_up(desk)
    assert discard(desk, upload_id) == "discarded"
    row, (failure,) = desk.row(upload_id), desk.failures(upload_id)
    assert (row["status"], row["error_code"]) == ("failed", "source_forbidden")
    assert (failure["resolution"], failure["next_retry_at"]) == ("discarded", None)
    assert failure["resolved_at"] is not None
    assert desk.worker().claim(desk.grant, upload_id) is None
    assert discard(desk, upload_id) == "already_discarded"
    assert [row[0] for row in audit(desk, upload_id)] == ["upload_discarded"]


def test_discarding_one_that_waits_ends_the_waiting(desk: Desk) -> None:
    upload_id = waiting(desk)
    assert discard(desk, upload_id) == "discarded"
    assert (desk.row(upload_id)["status"], desk.row(upload_id)["error_code"]) == ("failed", "source_timeout")
    assert desk.call(upload_id)["recording_status"] == "failed"


def test_discarding_one_that_lost_its_worker_and_was_put_back_keeps_the_failures_code(desk: Desk) -> None:
    taken = desk.again(desk.claimed())
    desk.worker("worker@two").put_back(desk.grant, taken, total_ms=1)
    assert desk.row(taken.id)["error_code"] is None
    assert discard(desk, taken.id) == "discarded"
    assert desk.row(taken.id)["error_code"] == "worker_lost"


def test_what_has_not_failed_cannot_be_discarded(desk: Desk) -> None:
    fresh = desk.enqueue()
    assert discard(desk, fresh) == "not_failed"
    assert retry(desk, fresh) == "already_queued"
    early = desk.claimed()
    desk.worker().fail(desk.grant, early, SourceNotReady(), Snooze(LATER), total_ms=1)
    assert discard(desk, early.id) == "not_failed"
    assert retry(desk, early.id) == "retried"
    assert audit(desk, fresh) == []


def test_what_was_discarded_may_be_retried_and_fails_anew(desk: Desk) -> None:
    upload_id = given_up(desk)
    discard(desk, upload_id)
    assert retry(desk, upload_id) == "retried"
    (discarded,) = desk.failures(upload_id)
    assert discarded["resolution"] == "discarded"
    desk.worker().fail(desk.grant, claim(desk, upload_id), SourceGone(), GiveUp(), total_ms=1)
    assert [(one["error_code"], one["resolution"]) for one in desk.failures(upload_id)] == [
        ("source_forbidden", "discarded"),
        ("source_gone", None),
    ]


def test_a_call_with_a_stored_recording_keeps_it_whatever_becomes_of_a_second_one(desk: Desk) -> None:
    stored = desk.claimed(provider_call_id="call", recording_id="one")
    desk.worker().complete(desk.grant, stored, COPIED, total_ms=1)
    second = given_up(desk, provider_call_id="call", recording_id="two")
    assert retry(desk, second) == "retried"
    assert desk.call(second)["recording_status"] == "completed"
    desk.worker().fail(desk.grant, claim(desk, second), SourceForbidden(), GiveUp(), total_ms=1)
    assert discard(desk, second) == "discarded"
    assert desk.call(second)["recording_status"] == "completed"


@pytest.mark.parametrize("act", [retry, discard])
@pytest.mark.parametrize(("reason", "why"), [("", "say why"), (" \n", "say why"), ("x" * 501, "at most 500")])
def test_an_action_needs_a_reason_that_fits(desk: Desk, act: Any, reason: str, why: str) -> None:
    upload_id = given_up(desk)
    before = desk.everything(upload_id)
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=why):
        act(desk, upload_id, reason)
    assert desk.everything(upload_id) == before


@pytest.mark.parametrize("function", ["retry_failed_upload", "discard_failed_upload"])
@pytest.mark.parametrize("arguments", ["NULL, 'why'", "gen_random_uuid(), NULL"])
def test_nothing_is_an_argument_that_is_missing(desk: Desk, function: str, arguments: str) -> None:
    with desk.database.connect("recording_ops") as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="is missing"):
            connection.execute(f"SELECT public.{function}({arguments})")


def test_the_login_is_the_actor_and_what_it_says_of_itself_is_only_noted(desk: Desk) -> None:
    upload_id = given_up(desk)
    with desk.database.connect("recording_ops") as connection, connection.transaction():
        connection.execute("SELECT set_config('app.actor', 'postgres' || repeat('!', 300), true)")
        connection.execute("SELECT public.retry_failed_upload(%s, ' spaced ')", (upload_id,))
    ((_, actor, _, reason, detail),) = audit(desk, upload_id)
    assert (actor, reason) == ("recording_ops", "spaced")
    assert detail["unverified_actor"] == "postgres" + "!" * 192

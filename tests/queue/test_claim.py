"""Claiming: one owner at a time, and nobody is forgotten."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from schema.tenancy import run_as_task
from tests.desk import COPIED, Desk
from workers import claim
from workers.errors import SourceGone
from workers.queue import Queue
from workers.retry import GiveUp
from workers.sources import ACCOUNTS
from workers.uploads import Upload


def test_a_claim_brings_what_the_copy_needs(desk: Desk) -> None:
    desk.database.run(
        "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, 'twilio', %s)",
        desk.org_id,
        b"sealed",
    )
    upload = desk.claimed(
        provider="twilio", provider_call_id="CA1", recording_id="RE1", source_url="https://a.example/1"
    )
    assert (upload.org_id, upload.provider, upload.provider_call_id) == (desk.org_id, "twilio", "CA1")
    assert (upload.recording_id, upload.source_url) == ("RE1", "https://a.example/1")
    assert (upload.attempt, upload.failures, upload.max_failures) == (1, 0, 10)
    assert upload.sealed_credentials == b"sealed"
    assert upload.created_at <= upload.claimed_at
    row = desk.row(upload.id)
    assert (row["status"], row["worker"]) == ("processing", "worker@one")
    assert row["lease_expires_at"] > upload.claimed_at


@pytest.mark.parametrize("provider", [*ACCOUNTS, "https", "another"])
def test_the_short_claim_brings_what_the_whole_one_brings_and_leaves_the_same_behind(desk: Desk, provider: str) -> None:
    desk.database.run(
        "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, %s, 'x')", desk.org_id, provider
    )
    upload_id, found = desk.enqueue(provider=provider), []
    desk.change(upload_id, "dispatched_until = now() + interval '1 hour'")
    asked = {"worker": "w", "claim_id": UUID(int=1), "lease": timedelta(minutes=1), "lost_message": "", "id": upload_id}
    asked["accounts"] = list(ACCOUNTS)
    # In one transaction, for which it is always the same time.
    with desk.database.connect("recording_worker") as worker, worker.transaction(force_rollback=True):
        worker.execute("SELECT set_config('app.task_grant', %s, true)", (desk.grant,))
        for statement in (claim.PENDING, claim.DUE):
            with worker.transaction(force_rollback=True):
                brought = worker.execute(statement, asked).fetchall()
                found.append((brought, worker.execute("SELECT * FROM recording_upload_queue").fetchall()))
    assert len(found[0][0]) == 1
    assert (b"x" in found[0][0][0]) == (provider in ACCOUNTS)
    assert found[0] == found[1]


def test_what_the_short_claim_does_not_find_is_left_as_it_is(desk: Desk) -> None:
    lost = desk.claimed()
    desk.change(lost.id, "lease_expires_at = now(), dispatched_until = now() + interval '1 hour'")
    asked = {"worker": "w", "claim_id": UUID(int=1), "lease": timedelta(0), "accounts": [], "id": lost.id}
    before = desk.row(lost.id)
    assert run_as_task(desk.engine, desk.grant, claim.PENDING, asked) == []
    assert desk.row(lost.id) == before


def test_credentials_of_another_organisation_or_provider_do_not_come_along(desk: Desk) -> None:
    other = desk.database.organisation()
    for org_id, provider in ((other, "vapi"), (desk.org_id, "twilio")):
        desk.database.run(
            "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, %s, 'x')", org_id, provider
        )
    assert desk.claimed(provider="vapi").sealed_credentials is None


def test_of_eight_claims_at_once_one_wins(desk: Desk) -> None:
    upload_id, start = desk.enqueue(), Barrier(8)

    def claim(number: int) -> Upload | None:
        start.wait()
        return desk.worker(f"worker@{number}").claim(desk.grant, upload_id)

    with ThreadPoolExecutor(8) as pool:
        won = [upload for upload in pool.map(claim, range(8)) if upload]
    assert [upload.attempt for upload in won] == [1]
    assert desk.row(upload_id)["attempt"] == 1


def test_of_eight_claims_of_an_expired_lease_one_wins(desk: Desk) -> None:
    upload, start = desk.claimed(), Barrier(8)
    desk.expire(upload.id)

    def claim(number: int) -> Upload | None:
        start.wait()
        return desk.worker(f"worker@{number}").claim(desk.grant, upload.id)

    with ThreadPoolExecutor(8) as pool:
        won = [taken for taken in pool.map(claim, range(8)) if taken]
    assert [(taken.attempt, taken.failures) for taken in won] == [(2, 1)]
    assert len(desk.metrics(upload.id)) == 1


def test_a_row_that_is_not_due_yet_cannot_be_claimed(desk: Desk) -> None:
    upload_id = desk.enqueue()
    desk.change(upload_id, "next_attempt_at = now() + interval '1 minute'")
    assert desk.worker().claim(desk.grant, upload_id) is None


@pytest.mark.parametrize("mark", ["NULL", "now() - interval '1 second'"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_row_that_nobody_dispatched_cannot_be_claimed(desk: Desk, mark: LiteralString, lost: bool) -> None:
    """A doorbell that comes twice or late is not answered out of turn: its organisation would pass its cap."""
    upload_id = desk.claimed().id if lost else desk.enqueue()
    desk.change(upload_id, f"dispatched_until = {mark}")
    if lost:
        desk.expire(upload_id)
    before = desk.everything(upload_id)
    assert Queue(desk.engine, "worker@one", timedelta(seconds=60)).claim(desk.grant, upload_id, uuid4()) is None
    assert desk.everything(upload_id) == before


def test_a_claim_whose_answer_was_not_heard_is_answered_again_and_costs_nothing(desk: Desk) -> None:
    upload_id, claim_id, worker = desk.enqueue(), uuid4(), desk.worker()
    upload = worker.claim(desk.grant, upload_id, claim_id)
    before = desk.everything(upload_id)
    again = worker.claim(desk.grant, upload_id, claim_id)
    assert upload
    assert again
    assert replace(again, claimed_at=upload.claimed_at, queue_ms=upload.queue_ms) == upload
    assert desk.everything(upload_id) == before


def test_a_claim_whose_lease_ran_out_before_it_was_asked_about_is_a_lost_one(desk: Desk) -> None:
    upload_id, claim_id, worker = desk.enqueue(), uuid4(), desk.worker()
    assert worker.claim(desk.grant, upload_id, claim_id)
    desk.expire(upload_id)
    again = worker.claim(desk.grant, upload_id, claim_id)
    assert again
    assert (again.attempt, again.failures) == (2, 1)


def test_a_row_that_is_owned_cannot_be_claimed(desk: Desk) -> None:
    upload = desk.claimed()
    before = desk.everything(upload.id)
    assert desk.worker("worker@two").claim(desk.grant, upload.id) is None
    assert desk.everything(upload.id) == before


@pytest.mark.parametrize("settled", ["completed", "failed"])
def test_a_settled_row_cannot_be_claimed(desk: Desk, settled: str) -> None:
    upload, worker = desk.claimed(), desk.worker()
    if settled == "completed":
        worker.complete(desk.grant, upload, COPIED, total_ms=1)
    else:
        worker.fail(desk.grant, upload, SourceGone(), GiveUp(), total_ms=1)
    before = desk.everything(upload.id)
    assert worker.claim(desk.grant, upload.id) is None
    assert desk.everything(upload.id) == before


def test_a_row_of_another_organisation_cannot_be_claimed(desk: Desk) -> None:
    upload_id = desk.enqueue()
    foreign = desk.database.grant(desk.database.organisation())
    assert desk.worker().claim(foreign, upload_id) is None
    assert desk.row(upload_id)["status"] == "pending"


def test_a_row_that_does_not_exist_cannot_be_claimed(desk: Desk) -> None:
    assert desk.worker().claim(desk.grant, uuid4()) is None


@pytest.mark.parametrize("grant", ["", "nonsense", "a.b.c"])
def test_without_a_valid_grant_a_claim_is_an_error_and_leaves_the_connection_usable(desk: Desk, grant: str) -> None:
    upload_id = desk.enqueue()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no valid task grant"):
        desk.worker().claim(grant, upload_id)
    assert desk.worker().claim(desk.grant, upload_id)


def test_a_lost_worker_costs_a_failure_and_is_accounted_for_by_the_next(desk: Desk) -> None:
    upload = desk.claimed("worker@lost")
    taken = desk.again(upload)
    assert (taken.attempt, taken.failures) == (2, 1)
    (metric,) = desk.metrics(upload.id)
    assert (metric["attempt"], metric["outcome"], metric["error_code"]) == (1, "rescheduled", "worker_lost")
    assert metric["worker"] == "worker@lost"
    (failure,) = desk.failures(upload.id)
    assert (failure["error_code"], failure["failure_count"], failure["resolved_at"]) == ("worker_lost", 1, None)
    assert failure["next_retry_at"] is not None


def test_workers_lost_until_nothing_may_be_used_up_any_more_end_it(desk: Desk) -> None:
    upload_id = desk.enqueue()
    desk.change(upload_id, "max_failures = 3")
    worker = desk.worker()
    for _ in range(3):
        assert worker.claim(desk.grant, upload_id)
        desk.expire(upload_id)
    assert worker.claim(desk.grant, upload_id) is None
    row = desk.row(upload_id)
    assert (row["status"], row["error_code"], row["attempt"], row["failures"]) == ("failed", "worker_lost", 3, 3)
    assert [metric["outcome"] for metric in desk.metrics(upload_id)] == ["rescheduled", "rescheduled", "given_up"]
    (failure,) = desk.failures(upload_id)
    assert failure["failure_count"] == 3
    assert failure["given_up_at"] is not None
    assert failure["next_retry_at"] is None
    assert desk.call(upload_id)["recording_status"] == "failed"


def test_a_pending_row_has_a_try_even_if_all_its_failures_are_used_up(desk: Desk) -> None:
    upload_id = desk.enqueue()
    desk.change(upload_id, "failures = max_failures")
    assert desk.worker().claim(desk.grant, upload_id)


def test_a_row_that_has_waited_for_months_can_be_claimed(desk: Desk) -> None:
    upload_id = desk.enqueue()
    desk.change(upload_id, "next_attempt_at = now() - interval '90 days'")
    upload = desk.worker().claim(desk.grant, upload_id)
    assert upload is not None
    assert upload.queue_ms == 2**31 - 1
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)


def test_a_recording_given_up_does_not_mark_a_call_failed_that_has_another_one(desk: Desk) -> None:
    stored = desk.claimed(provider_call_id="one-call", recording_id="a")
    desk.worker().complete(desk.grant, stored, COPIED, total_ms=1)
    lost = [desk.enqueue(provider_call_id="one-call", recording_id=name) for name in "bc"]
    given_up(desk, lost[0])
    upload = desk.worker().claim(desk.grant, lost[1])
    assert upload
    desk.worker().fail(desk.grant, upload, SourceGone(), GiveUp(), total_ms=1)
    assert [desk.row(upload_id)["status"] for upload_id in lost] == ["failed", "failed"]
    assert desk.call(stored.id)["recording_status"] == "completed"


def given_up(desk: Desk, upload_id: UUID) -> None:
    """By a worker that was lost at the last try."""
    desk.change(upload_id, "max_failures = 1")
    assert desk.worker().claim(desk.grant, upload_id)
    desk.expire(upload_id)
    assert desk.worker().claim(desk.grant, upload_id) is None

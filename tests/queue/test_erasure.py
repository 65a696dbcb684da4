"""Erasing in SQL: what an operator asks for, what time asks for, what a court forbids; and that erased stays erased."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from tests.desk import Desk
from tests.operating import audit, discard, given_up, retry, waiting
from tests.queue.test_downloads import User, stored_call
from tests.waiting import until
from workers.erasures import Erasure, Erasures
from workers.retention import Retention

LEASE = timedelta(minutes=1)
NO_URL = "https://erased.invalid/"


@dataclass(frozen=True)
class Registrar:
    """An operator, and a worker, of one organisation's erasures."""

    desk: Desk

    def erase(self, call_id: object, reason: str = "the patient asked") -> str:
        return self._ask("SELECT public.erase_recording(%s, %s)", call_id, reason)

    def hold(self, call_id: object, *, held: bool = True, reason: str = "court order 7") -> str:
        return self._ask("SELECT public.set_legal_hold(%s, %s, %s)", call_id, held, reason)

    def _ask(self, statement: str, *values: object) -> str:
        with self.desk.database.connect("recording_ops") as connection:
            row = connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return str(row[0])

    def plan(self, most: int = 100) -> int:
        with self.desk.database.connect("recording_dispatcher") as connection:
            row = connection.execute("SELECT app.plan_retention(%s)", (most,)).fetchone()
        assert row is not None
        return int(row[0])

    @property
    def erasures(self) -> Erasures:
        return Erasures(self.desk.engine, self.desk.grant)

    def claim(self) -> Erasure | None:
        return self.erasures.claim(LEASE)

    def finish(self) -> None:
        erasure = self.claim()
        assert erasure is not None
        assert self.erasures.finish(erasure, objects=1)

    def call(self, call_id: object) -> tuple[str, str | None]:
        found: tuple[str, str | None] = self.desk.database.one(
            "SELECT recording_status, recording_key FROM call_logs WHERE id = %s", call_id
        )
        return found

    def trail(self, call_id: UUID) -> list[str]:
        return [row[0] for row in audit(self.desk, call_id)]


@pytest.fixture
def desk(shared: Database) -> Iterator[Desk]:
    opened = Desk.open(shared)
    yield opened
    opened.close()


@pytest.fixture
def registrar(desk: Desk) -> Registrar:
    return Registrar(desk)


def retained(desk: Desk, days: int = 30, age: str = "31 days") -> UUID:
    """A call whose recording was stored so long ago, of an organisation that keeps them for so long."""
    call_id = stored_call(desk)
    desk.database.run("UPDATE organizations SET recording_retention_days = %s WHERE id = %s", days, desk.org_id)
    stored = (
        "UPDATE call_logs SET recording_uploaded_at = now() - %s::interval, started_at = '2001-01-01' WHERE id = %s"
    )
    desk.database.run(stored, age, call_id)
    return call_id


def upload_of(desk: Desk, call_id: UUID) -> UUID:
    found: UUID = desk.database.one("SELECT id FROM recording_upload_queue WHERE call_id = %s", call_id)
    return found


def test_what_is_erased_is_so_for_everybody_at_once(desk: Desk, registrar: Registrar) -> None:
    call_id, user = stored_call(desk), User(desk.database, desk.org_id, uuid4())
    asked = user.ask(call_id)
    assert registrar.erase(call_id) == "erasing"
    assert user.refused(call_id) == ("PT410", "recording_erased")
    assert desk.database.one("SELECT status, url FROM recording_downloads WHERE id = %s", asked) == ("revoked", None)
    assert [row[0] for row in audit(desk, asked)] == ["download_requested", "download_revoked"]
    row = desk.row(upload_of(desk, call_id))
    assert (row["status"], row["source_url"], row["sha256"]) == ("completed", NO_URL, "ab" * 32)
    assert row["erased_at"]
    assert registrar.call(call_id) == ("erased", None)
    (trace,) = audit(desk, call_id)
    assert trace[:4] == ("erasure_planned", "recording_ops", desk.org_id, "the patient asked")


def test_the_receipt_has_the_hash_the_reason_and_the_cause_and_is_written_once(
    desk: Desk, registrar: Registrar
) -> None:
    call_id = stored_call(desk)
    registrar.erase(call_id)
    erasure = registrar.claim()
    assert erasure is not None
    assert erasure.call_id == call_id
    assert registrar.erasures.finish(erasure, objects=3)
    assert not registrar.erasures.finish(erasure, objects=3)
    action, actor, org_id, reason, detail = audit(desk, call_id)[-1]
    assert (action, actor, org_id, reason) == ("recording_erased", "recording_worker", desk.org_id, "the patient asked")
    recording = {"upload_id": str(upload_of(desk, call_id)), "sha256": "ab" * 32, "size_bytes": 1234}
    assert (detail["recordings"], detail["objects"], detail["cause"]) == ([recording], 3, "requested")
    assert registrar.trail(call_id).count("recording_erased") == 1


def test_a_waiting_upload_is_stopped_and_its_failure_closed(desk: Desk, registrar: Registrar) -> None:
    upload_id = waiting(desk)
    assert registrar.erase(desk.call(upload_id)["id"]) == "erasing"
    row = desk.row(upload_id)
    assert (row["status"], row["error_code"], row["source_url"]) == ("failed", "recording_erased", NO_URL)
    assert [failure["resolution"] for failure in desk.failures(upload_id)] == ["discarded"]
    assert desk.worker().claim(desk.grant, upload_id) is None


def test_a_running_upload_is_waited_for(desk: Desk, registrar: Registrar) -> None:
    upload = desk.claimed()
    before = desk.everything(upload.id)
    assert registrar.erase(upload.call_id) == "already_running"
    assert desk.everything(upload.id) == before


def test_an_upload_that_is_enqueued_at_this_very_moment_counts_as_running(desk: Desk, registrar: Registrar) -> None:
    call_id = stored_call(desk)
    provider_call_id = desk.database.one("SELECT provider_call_id FROM call_logs WHERE id = %s", call_id)
    enqueue = "SELECT enqueue_recording(%s, 'https', %s, 'https://provider.example/b', 'second')"
    with ThreadPoolExecutor(1) as pool, desk.database.connect("call_handler") as handler:
        with handler.transaction():
            handler.execute(enqueue, (desk.org_id, provider_call_id))
            asked = pool.submit(registrar.erase, call_id)
            wait_for_lock(desk.database)
        assert asked.result(timeout=10) == "already_running"
    assert registrar.call(call_id)[0] == "completed"


def wait_for_lock(database: Database) -> None:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    until(lambda: database.one(waits) == 1)


def test_erased_stays_erased_whoever_asks(desk: Desk, registrar: Registrar) -> None:
    upload_id = given_up(desk)
    call = desk.call(upload_id)
    registrar.erase(call["id"])
    assert retry(desk, upload_id) == "already_erased"
    assert discard(desk, upload_id) == "already_discarded"
    recording_id = desk.row(upload_id)["recording_id"]
    again = {"provider_call_id": call["provider_call_id"], "source_url": "https://provider.example/again"}
    assert desk.enqueue(**again, recording_id=recording_id) == upload_id
    assert desk.row(upload_id)["source_url"] == NO_URL
    other = desk.row(desk.enqueue(**again, recording_id="another"))
    assert (other["status"], other["error_code"], other["source_url"]) == ("failed", "recording_erased", NO_URL)
    revive = "UPDATE recording_upload_queue SET status = 'pending', erased_at = NULL, source_url = 'https://x/'"
    assert desk.database.run(f"{revive} WHERE id = %s", upload_id) == 0
    desk.database.run(
        "UPDATE call_logs SET recording_status = 'completed', recording_key = 'k' WHERE id = %s", call["id"]
    )
    assert registrar.call(call["id"]) == ("erased", None)
    assert registrar.erase(call["id"]) == "already_erased"


def test_a_call_without_a_recording_gets_none(desk: Desk, registrar: Registrar) -> None:
    call_id = desk.database.one(
        "INSERT INTO call_logs (org_id, provider, provider_call_id) VALUES (%s, 'https', 'none') RETURNING id",
        desk.org_id,
    )
    assert registrar.erase(call_id) == "erasing"
    row = desk.row(desk.enqueue(provider_call_id="none"))
    assert (row["status"], row["error_code"], row["source_url"]) == ("failed", "recording_erased", NO_URL)
    registrar.finish()
    assert audit(desk, call_id)[-1][4]["recordings"] == []


@pytest.mark.parametrize("reason", [None, "", " \t\n", "x" * 501])
def test_a_reason_is_asked_for(desk: Desk, registrar: Registrar, reason: Any) -> None:
    call_id = stored_call(desk)
    for ask in (registrar.erase, registrar.hold):
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="reason"):
            ask(call_id, reason=reason)


def test_what_does_not_exist_is_not_found(registrar: Registrar) -> None:
    assert registrar.erase(uuid4()) == registrar.hold(uuid4()) == "not_found"


def test_what_is_over_is_planned_by_our_clock_and_not_by_the_providers(desk: Desk, registrar: Registrar) -> None:
    old = retained(desk)
    young = retained(desk, age="29 days")
    assert registrar.plan() >= 1
    assert registrar.call(old)[0] == "erased"
    assert registrar.call(young)[0] == "completed"
    assert audit(desk, old)[-1][:4] == ("erasure_planned", "recording_dispatcher", desk.org_id, "kept for 30 days")
    registrar.finish()
    assert audit(desk, old)[-1][4]["cause"] == "retention"


def test_of_an_organisation_that_keeps_without_end_nothing_is_over(desk: Desk, registrar: Registrar) -> None:
    call_id = retained(desk, age="100 years")
    desk.database.run("UPDATE organizations SET recording_retention_days = NULL WHERE id = %s", desk.org_id)
    registrar.plan()
    assert registrar.call(call_id)[0] == "completed"


def test_not_more_are_planned_than_may_be_and_the_oldest_go_first(database: Database) -> None:
    desk = Desk.open(database)
    registrar = Registrar(desk)
    calls = [retained(desk, age=f"{days} days") for days in (31, 33, 32)]
    assert [registrar.plan(most) for most in (0, 2)] == [0, 2]
    assert [registrar.call(call_id)[0] for call_id in calls] == ["completed", "erased", "erased"]
    desk.close()


def test_a_suspended_organisations_recordings_go_when_their_time_is_over(desk: Desk, registrar: Registrar) -> None:
    call_id = retained(desk)
    desk.database.run("UPDATE organizations SET status = 'suspended' WHERE id = %s", desk.org_id)
    registrar.plan()
    assert registrar.call(call_id)[0] == "erased"
    with desk.database.connect("recording_dispatcher") as dispatcher:
        assert desk.org_id in Retention().due(dispatcher)


def test_what_is_held_is_neither_erased_nor_over_until_it_is_released(desk: Desk, registrar: Registrar) -> None:
    call_id = retained(desk)
    assert registrar.hold(call_id) == registrar.hold(call_id) == "held"
    assert registrar.erase(call_id) == "on_legal_hold"
    registrar.plan()
    assert registrar.call(call_id)[0] == "completed"
    assert registrar.hold(call_id, held=False, reason="settled") == "released"
    assert registrar.trail(call_id) == ["legal_hold_set", "legal_hold_released"]
    registrar.plan()
    assert registrar.call(call_id)[0] == "erased"


@pytest.mark.parametrize("cause", ["requested", "retention"])
def test_a_hold_withdraws_an_erasure_that_nobody_has_begun(desk: Desk, registrar: Registrar, cause: str) -> None:
    call_id = retained(desk)
    before = registrar.call(call_id)
    _ = registrar.erase(call_id) if cause == "requested" else registrar.plan()
    assert registrar.call(call_id) == ("erased", None)
    assert registrar.hold(call_id) == "held"
    assert registrar.call(call_id) == before
    assert registrar.claim() is None
    assert User(desk.database, desk.org_id, uuid4()).ask(call_id)
    assert registrar.trail(call_id) == ["erasure_planned", "erasure_withdrawn", "legal_hold_set"]


def test_a_hold_after_the_claim_comes_too_late(desk: Desk, registrar: Registrar) -> None:
    call_id = stored_call(desk)
    registrar.erase(call_id)
    assert registrar.claim() is not None
    assert registrar.hold(call_id) == registrar.hold(call_id, held=False) == "already_erased"
    assert registrar.call(call_id) == ("erased", None)


def test_of_a_hold_and_a_claim_at_the_same_moment_one_is_too_late(desk: Desk, registrar: Registrar) -> None:
    for _ in range(10):
        call_id = stored_call(desk)
        registrar.erase(call_id)
        with ThreadPoolExecutor(2) as pool:
            held, claimed = pool.submit(registrar.hold, call_id), pool.submit(registrar.claim)
        is_claimed = claimed.result() is not None
        assert held.result() == ("already_erased" if is_claimed else "held")
        assert registrar.call(call_id)[0] == ("erased" if is_claimed else "completed")


def test_a_hold_that_somebody_set_by_hand_is_respected_by_the_claim(desk: Desk, registrar: Registrar) -> None:
    call_id = stored_call(desk)
    registrar.erase(call_id)
    desk.database.run("UPDATE call_logs SET legal_hold = true WHERE id = %s", call_id)
    assert registrar.claim() is None


def test_an_erasure_is_one_workers_for_a_while_and_then_the_next_ones(desk: Desk, registrar: Registrar) -> None:
    call_id = stored_call(desk)
    registrar.erase(call_id)
    first = registrar.claim()
    assert registrar.claim() is None
    desk.database.run("UPDATE app.erasures SET next_attempt_at = now() WHERE call_id = %s", call_id)
    assert registrar.claim() == first


def test_what_cannot_be_deleted_stays_open_with_its_code_and_is_tried_again(desk: Desk, registrar: Registrar) -> None:
    call_id = stored_call(desk)
    registrar.erase(call_id)
    erasure = registrar.claim()
    assert erasure is not None
    registrar.erasures.put_off(erasure, "store_denied", timedelta(0))
    assert desk.database.one("SELECT error_code FROM app.erasures WHERE call_id = %s", call_id) == "store_denied"
    registrar.finish()
    assert desk.database.one("SELECT error_code FROM app.erasures WHERE call_id = %s", call_id) is None


def test_a_worker_erases_for_its_organisation_only_and_plans_nothing(desk: Desk, registrar: Registrar) -> None:
    stranger = Registrar(Desk.open(desk.database))
    call_id = stored_call(desk)
    registrar.erase(call_id)
    assert stranger.claim() is None
    stranger.desk.close()
    with desk.database.connect("recording_worker") as worker, worker.transaction():
        worker.execute("SELECT set_config('app.task_grant', %s, true)", (desk.grant,))
        for statement in (
            "INSERT INTO app.erasures (org_id, call_id, cause, reason) SELECT org_id, id, 'x', 'x' FROM call_logs",
            "DELETE FROM app.erasures",
            "SELECT reason FROM app.erasures",
            "SELECT app.plan_erasure(gen_random_uuid(), 'requested', 'x')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), worker.transaction():
                worker.execute(statement)


def test_the_dispatcher_rings_for_who_has_something_left_and_not_twice_at_once(database: Database) -> None:
    desk = Desk.open(database)
    retention = Retention()
    with database.connect("recording_dispatcher") as dispatcher:
        assert retention.due(dispatcher) == []
        Registrar(desk).erase(stored_call(desk))
        assert retention.due(dispatcher) == [desk.org_id]
        assert retention.due(dispatcher) == []
        assert Retention().due(dispatcher) == [desk.org_id]
    desk.close()

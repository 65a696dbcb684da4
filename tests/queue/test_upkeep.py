"""Whose storage is swept when: each organisation once in a while, one at a time, and when an operator asks."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

import pytest

from tests.database import Database
from workers.findings import Findings, Turn
from workers.storage_report import is_swept, request_sweep
from workers.upkeep import PACE, Rota

Look = Callable[[], UUID | None]
DAY = timedelta(days=1)


@pytest.fixture
def look(database: Database) -> Iterator[Look]:
    with database.connect("recording_dispatcher") as connection:
        yield lambda: Rota(every=DAY).next(connection)


def organisation(database: Database, *, age: timedelta = DAY) -> UUID:
    org_id = database.organisation()
    database.run("UPDATE organizations SET created_at = now() - %s WHERE id = %s", age, org_id)
    return org_id


def later(database: Database, by: timedelta = PACE) -> None:
    """As if everything that is noted had happened so much earlier."""
    names: tuple[LiteralString, ...] = ("rung_at", "claimed_at", "leased_until", "begun_at", "swept_at", "requested_at")
    for name in names:
        database.run(f"UPDATE app.sweeps SET {name} = {name} - %s", by)


def findings(database: Database, org_id: UUID) -> Findings:
    return Findings(database.engine("recording_worker"), database.grant(org_id), timedelta(seconds=60))


def claim(database: Database, org_id: UUID) -> Turn:
    turn = findings(database, org_id).claim()
    assert turn
    return turn


def swept(database: Database, org_id: UUID) -> None:
    findings(database, org_id).finish(claim(database, org_id))


def ask(database: Database, org_id: UUID) -> None:
    with database.connect("recording_ops") as operator:
        request_sweep(operator, org_id, "a test", "somebody")


def test_an_organisation_is_swept_when_it_is_old_enough_and_then_once_in_a_while(
    database: Database, look: Look
) -> None:
    org_id = organisation(database, age=timedelta(hours=23))
    assert look() is None
    database.run("UPDATE organizations SET created_at = created_at - interval '1 hour'")
    assert look() == org_id
    swept(database, org_id)
    assert look() is None
    later(database, timedelta(hours=23))
    assert look() is None
    later(database, timedelta(hours=1))
    assert look() == org_id


def test_one_at_a_time_over_all_organisations_and_in_turns(database: Database, look: Look) -> None:
    orgs = sorted(organisation(database) for _ in range(3))
    order = []
    for _ in range(3):
        org_id = look()
        assert org_id
        assert look() is None
        turn = claim(database, org_id)
        assert look() is None
        findings(database, org_id).finish(turn)
        order.append(org_id)
    assert order == orgs
    assert look() is None


def test_a_doorbell_that_nobody_answers_is_rung_again_behind_the_others(database: Database, look: Look) -> None:
    first, second = sorted(organisation(database) for _ in range(2))
    assert look() == first
    later(database, PACE - timedelta(seconds=5))
    assert look() is None
    later(database, timedelta(seconds=5))
    assert look() == second
    later(database)
    assert look() == first


def test_a_sweep_whose_worker_was_lost_holds_up_the_others_for_a_lease_and_no_longer(
    database: Database, look: Look
) -> None:
    first, second = sorted(organisation(database) for _ in range(2))
    assert look() == first
    claim(database, first)
    later(database, timedelta(seconds=55))
    assert look() is None
    later(database, timedelta(seconds=5))
    assert look() == second


def test_a_sweep_that_is_not_at_its_end_is_carried_on_where_it_stopped(database: Database, look: Look) -> None:
    org_id = organisation(database)
    assert look() == org_id
    turn = claim(database, org_id)
    database.run("UPDATE app.sweeps SET reached_key = 'k'")
    findings(database, org_id).let_go(turn)
    assert look() is None
    later(database)
    assert look() == org_id
    again = claim(database, org_id)
    assert again.reached_key == "k"
    assert again.begun_at == turn.begun_at - PACE
    findings(database, org_id).finish(again)
    later(database, DAY)
    assert look() == org_id
    assert claim(database, org_id).reached_key == ""


def test_who_is_asked_for_goes_first_and_at_once(database: Database, look: Look) -> None:
    waiting = organisation(database)
    org_id = organisation(database, age=timedelta(0))
    ask(database, org_id)
    assert look() == org_id
    swept(database, org_id)
    ask(database, org_id)
    assert look() == org_id
    swept(database, org_id)
    assert look() == waiting


def test_a_request_during_a_sweep_is_answered_by_the_next(database: Database, look: Look) -> None:
    org_id = organisation(database)
    assert look() == org_id
    turn = claim(database, org_id)
    with database.connect("recording_ops") as operator:
        asked = request_sweep(operator, org_id, "a test", "somebody")
        findings(database, org_id).finish(turn)
        assert not is_swept(operator, org_id, asked)
        assert look() == org_id
        swept(database, org_id)
        assert is_swept(operator, org_id, asked)


def test_a_suspended_organisation_is_not_swept(database: Database, look: Look) -> None:
    org_id = organisation(database)
    database.run("UPDATE organizations SET status = 'suspended'")
    assert look() is None
    database.run("UPDATE organizations SET status = 'active'")
    assert look() == org_id


def test_all_organisations_are_searched_at_once_after_a_sweep_and_seldom_otherwise(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("workers.upkeep.time.monotonic", lambda: now)
    with database.connect("recording_dispatcher") as connection:
        rota = Rota(every=DAY)
        assert rota.next(connection) is None
        first, second = sorted(organisation(database) for _ in range(2))
        now += 29
        assert rota.next(connection) is None
        now += 1
        assert rota.next(connection) == first
        assert rota.next(connection) is None
        swept(database, first)
        assert rota.next(connection) == second
        swept(database, second)
        assert rota.next(connection) is None
        young = organisation(database, age=timedelta(0))
        ask(database, young)
        assert rota.next(connection) == young

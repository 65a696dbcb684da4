"""Asking for many recordings, in SQL; claiming, packing and ending an export, fenced like an upload."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from tests.desk import COPIED, Desk
from tests.queue.test_downloads import User, stored_call
from workers.dispatcher import _SESSION
from workers.errors import LeaseLost
from workers.export_clock import ExportClock
from workers.exports import Export, Exports
from workers.grants import GrantKey

PAUSE = timedelta(seconds=30)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    """In a database of its own: how many are under way counts over all organisations."""
    opened = Desk.open(database)
    yield opened
    opened.close()


@pytest.fixture
def user(desk: Desk) -> User:
    return User(desk.database, desk.org_id, uuid4())


class DeafBell:
    """Where the doorbells would go."""

    def __init__(self) -> None:
        self.rung: list[tuple[UUID, UUID]] = []

    def ring_for_exports(self, asked: Sequence[tuple[UUID, UUID, str]], *, most: int) -> int:
        self.rung += [(org_id, export_id) for org_id, export_id, _ in asked]
        return max(0, len(asked) - most)


def look(database: Database) -> list[tuple[UUID, UUID]]:
    """One look of the dispatcher, as its own login."""
    bell = DeafBell()
    with database.connect("recording_dispatcher") as connection:
        connection.execute(_SESSION)
        ExportClock(GrantKey.generate()).tend(connection, bell)  # type: ignore[arg-type]
    return bell.rung


def ask(user: User, call_ids: Sequence[UUID] | None = None, criteria: Any = None, reason: str = "audit 7") -> UUID:
    found = None if criteria is None else json.dumps(criteria)
    with user.signed_in() as connection:
        query = "SELECT request_recording_export(%s::uuid[], %s, %s::jsonb)"
        row = connection.execute(query, (call_ids and list(call_ids), reason, found)).fetchone()
    assert row
    asked: UUID = row[0]
    return asked


def refused(user: User, *values: Any, **more: Any) -> tuple[str | None, str]:
    with pytest.raises(psycopg.Error) as error:
        ask(user, *values, **more)
    return error.value.sqlstate, str(error.value).partition(":")[0]


def row(desk: Desk, export_id: UUID) -> dict[str, Any]:
    columns = "status, attempt, failures, recordings_total, recordings_done, error_code, object_key"
    values = desk.database.one(f"SELECT {columns} FROM recording_exports WHERE id = %s", export_id)
    return dict(zip(columns.split(", "), values, strict=True))


def links(desk: Desk, export_id: UUID) -> list[Any]:
    query = "SELECT DISTINCT status, url, error_code FROM recording_downloads WHERE export_id = %s"
    return desk.database.all(query, export_id)


def exports(desk: Desk, worker: str = "worker@one", lease_s: float = 60.0) -> Exports:
    return Exports(desk.engine, worker, timedelta(seconds=lease_s))


def claimed(desk: Desk, export_id: UUID, worker: str = "worker@one") -> Export:
    desk.database.run(
        "UPDATE recording_exports SET dispatched_until = now() + interval '1 minute' WHERE id = %s", export_id
    )
    export = exports(desk, worker).claim(desk.grant, export_id)
    assert export is not None
    return export


def pack(desk: Desk, export: Export, left: timedelta = PAUSE) -> None:
    exports(desk).ready(desk.grant, export, size_bytes=9, sha256="cd" * 32, url="https://store.example/zip", left=left)


def trail(desk: Desk, export_id: UUID) -> list[str]:
    rows = desk.database.all("SELECT action FROM audit_log WHERE subject_id = %s ORDER BY id", export_id)
    return [action for (action,) in rows]


def test_each_recording_is_on_record_before_a_byte_is_read(desk: Desk, user: User) -> None:
    calls = [stored_call(desk), stored_call(desk)]
    asked = ask(user, calls)
    query = "SELECT call_id, kind, status, sha256, reason FROM recording_downloads WHERE export_id = %s"
    assert sorted(desk.database.all(query, asked)) == sorted(
        (call, "export", "requested", COPIED.sha256, "audit 7") for call in calls
    )
    each = "SELECT count(*) FROM audit_log WHERE action = 'download_requested' AND detail ->> 'export_id' = %s"
    assert desk.database.one(each, str(asked)) == 2
    assert trail(desk, asked) == ["export_requested"]


def test_a_call_that_is_named_twice_is_in_it_once(desk: Desk, user: User) -> None:
    call = stored_call(desk)
    assert row(desk, ask(user, [call, call]))["recordings_total"] == 1


def test_one_call_that_cannot_be_handed_out_refuses_all_of_them(desk: Desk, user: User) -> None:
    stored, waiting = stored_call(desk), desk.call(desk.enqueue())["id"]
    stranger = User(desk.database, desk.database.organisation(), uuid4())
    assert refused(user, [stored, waiting]) == ("PT409", "recording_not_ready")
    assert refused(stranger, [stored]) == refused(stranger, [uuid4()]) == ("PT404", "call_not_found")
    assert desk.database.one("SELECT count(*) FROM recording_exports WHERE org_id = %s", stranger.org_id) == 0


def test_a_filter_finds_what_is_stored_and_passes_over_the_rest(desk: Desk, user: User) -> None:
    early, late = stored_call(desk), stored_call(desk)
    desk.enqueue()
    desk.database.run("UPDATE call_logs SET started_at = '2026-01-01' WHERE id = %s", early)
    desk.database.run("UPDATE call_logs SET started_at = '2026-02-01' WHERE id = %s", late)
    count = "SELECT array_agg(call_id) FROM recording_downloads WHERE export_id = %s"
    assert desk.database.one(count, ask(user, criteria={"started_from": "2026-01-15"})) == [late]
    assert desk.database.one(count, ask(user, criteria={"started_before": "2026-01-15T00:00:00Z"})) == [early]
    assert row(desk, ask(user, criteria={}))["recordings_total"] == 2
    assert refused(user, criteria={"direction": "outbound"}) == ("PT404", "nothing_found")


@pytest.mark.parametrize(
    "criteria", [{"org_id": str(uuid4())}, {"started_from": "yesterday-ish"}, {"agent_id": "x"}, [], "x"]
)
def test_a_filter_that_is_none_is_said_to_be_none(desk: Desk, user: User, criteria: Any) -> None:
    stored_call(desk)
    assert refused(user, criteria=criteria) == ("22023", "filter_unknown")


def test_nothing_selected_both_selected_and_no_reason_are_refused(desk: Desk, user: User) -> None:
    call = stored_call(desk)
    assert refused(user) == refused(user, [call], {}) == ("22023", "nothing_selected")
    assert refused(user, [call], reason=" ") == ("22023", "reason_missing")


def test_exports_have_a_limit_of_their_own_and_use_up_none_of_the_links(desk: Desk, user: User) -> None:
    call = stored_call(desk)
    for _ in range(20):
        ask(user, [call])
    assert refused(user, [call]) == ("PT429", "too_many_exports")
    for _ in range(45):
        user.ask(call)


def test_more_than_ten_thousand_are_refused(desk: Desk, user: User) -> None:
    assert refused(user, [uuid4() for _ in range(10_001)]) == ("PT413", "too_many_recordings")


def test_the_requester_sees_it_and_a_colleague_does_not(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    seen = "SELECT id FROM recording_exports"
    with user.signed_in() as connection:
        assert connection.execute(seen).fetchall() == [(asked,)]
    with User(desk.database, desk.org_id, uuid4()).signed_in() as connection:
        assert connection.execute(seen).fetchall() == []


def test_whoever_waits_hears_the_exports_id_of_each_step(desk: Desk, user: User) -> None:
    calls = [stored_call(desk), stored_call(desk)]
    with desk.database.connect("authenticator") as listener:
        listener.execute("LISTEN recording_downloads")
        asked = ask(user, calls)
        export = claimed(desk, asked)
        export.done = 1
        exports(desk).renew(desk.grant, export)
        pack(desk, export)
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=4)]
    assert heard == [str(asked)] * 4


def test_a_ready_export_has_its_link_on_each_recording_and_ends_everywhere(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk), stored_call(desk)])
    pack(desk, claimed(desk, asked), left=timedelta(0))
    assert links(desk, asked) == [("ready", "https://store.example/zip", None)]
    look(desk.database)
    assert row(desk, asked)["status"] == "expired"
    assert trail(desk, asked) == ["export_requested", "export_ready", "export_expired"]


def test_of_two_claims_one_wins_and_the_loser_can_change_nothing(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    first = claimed(desk, asked)
    assert exports(desk, "worker@two").claim(desk.grant, asked) is None
    desk.database.run("UPDATE recording_exports SET lease_expires_at = now() WHERE id = %s", asked)
    second = claimed(desk, asked, "worker@two")
    assert (second.attempt, second.key != first.key, row(desk, asked)["failures"]) == (2, True, 1)
    tries: tuple[Callable[[], None], ...] = (
        lambda: pack(desk, first),
        lambda: exports(desk).renew(desk.grant, first),
        lambda: exports(desk).failed(desk.grant, first, "object_missing"),
        lambda: exports(desk).put_back(desk.grant, first, pause=PAUSE),
    )
    for late in tries:
        with pytest.raises(LeaseLost):
            late()
    pack(desk, second)
    assert row(desk, asked)["object_key"] == second.key


def test_what_is_not_dispatched_is_not_claimed_and_neither_is_anothers(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    assert exports(desk).claim(desk.grant, asked) is None
    stranger = Desk.open(desk.database)
    assert look(desk.database) == [(desk.org_id, asked)]
    assert exports(stranger).claim(stranger.grant, asked) is None
    stranger.close()
    assert exports(desk).claim(desk.grant, asked) is not None


def test_an_interrupted_export_is_due_again_and_costs_no_failure(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    exports(desk).put_back(desk.grant, claimed(desk, asked), pause=timedelta(0))
    put_back = row(desk, asked)
    assert (put_back["status"], put_back["failures"], put_back["recordings_done"]) == ("requested", 0, 0)
    assert look(desk.database) == [(desk.org_id, asked)]


def test_an_export_that_loses_worker_after_worker_is_given_up(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    for _ in range(3):
        look(desk.database)
        assert row(desk, asked)["status"] != "failed"
        claimed(desk, asked)
        desk.database.run("UPDATE recording_exports SET lease_expires_at = now() WHERE id = %s", asked)
    look(desk.database)
    assert (row(desk, asked)["status"], row(desk, asked)["error_code"]) == ("failed", "worker_lost")
    assert links(desk, asked) == [("failed", None, "worker_lost")]


def test_an_export_that_nobody_begins_within_an_hour_is_over(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    desk.database.run("UPDATE recording_exports SET created_at = now() - interval '61 minutes' WHERE id = %s", asked)
    assert look(desk.database) == []
    assert row(desk, asked)["error_code"] == "not_answered"
    assert links(desk, asked) == [("failed", None, "not_answered")]


def test_an_organisation_has_one_under_way_and_holds_up_nobody(desk: Desk, user: User) -> None:
    call = stored_call(desk)
    mine = [ask(user, [call]) for _ in range(3)]
    other = Desk.open(desk.database)
    theirs = ask(User(desk.database, other.org_id, uuid4()), [stored_call(other)])
    assert look(desk.database) == [(desk.org_id, mine[0]), (other.org_id, theirs)]
    assert look(desk.database) == []
    exports(desk).failed(desk.grant, claimed(desk, mine[0]), "object_missing")
    assert look(desk.database) == [(desk.org_id, mine[1])]
    other.close()


def test_an_export_that_is_revoked_midway_is_lost_to_its_worker(desk: Desk, user: User) -> None:
    asked = ask(user, [stored_call(desk)])
    export = claimed(desk, asked)
    with desk.database.connect("recording_ops") as ops:
        query = "SELECT revoke_recording_download(%s, 'wrong patient')"
        one = desk.database.one("SELECT id FROM recording_downloads WHERE export_id = %s", asked)
        assert ops.execute(query, (one,)).fetchone() == ("revoked",)
        assert ops.execute(query, (asked,)).fetchone() == ("already_over",)
    with pytest.raises(LeaseLost):
        exports(desk).renew(desk.grant, export)
    assert links(desk, asked) == [("revoked", None, None)]
    assert trail(desk, asked) == ["export_requested", "export_revoked"]


def test_the_parts_are_the_recordings_that_were_asked_for_in_one_order(desk: Desk, user: User) -> None:
    calls = [stored_call(desk) for _ in range(3)]
    export = claimed(desk, ask(user, calls))
    parts = list(exports(desk).parts(desk.grant, export))
    assert sorted(part.call_id for part in parts) == sorted(calls)
    assert parts == list(exports(desk).parts(desk.grant, export))
    assert {(part.key, part.size_bytes, part.sha256) for part in parts} == {
        (COPIED.object_key, COPIED.size_bytes, COPIED.sha256)
    }

"""Asking for a recording, in SQL: who may, what is answered, and what stays on record."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from schema.tenancy import run_as_task
from tests.database import Database
from tests.desk import COPIED, Desk
from workers.dispatcher import _SESSION
from workers.downloads import Asked, Downloads
from workers.grants import GrantKey
from workers.reception import Reception

SHA = COPIED.sha256


@dataclass
class User:
    """A signed-in user, as PostgREST and Supabase let them in."""

    database: Database
    org_id: UUID
    id: UUID

    @contextmanager
    def signed_in(self, **claims: Any) -> Iterator[psycopg.Connection[Any]]:
        token = {"sub": str(self.id), "app_metadata": {"org_id": str(self.org_id)}} | claims
        with psycopg.connect(self.database.url("authenticator")) as connection:
            connection.execute(
                "SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                (json.dumps(token),),
            )
            yield connection

    def ask(self, call_id: UUID, reason: str = "complaint 12", **claims: Any) -> UUID:
        with self.signed_in(**claims) as connection:
            row = connection.execute("SELECT request_recording_download(%s, %s)", (call_id, reason)).fetchone()
        assert row
        asked: UUID = row[0]
        return asked

    def refused(self, call_id: UUID, reason: str = "complaint 12", **claims: Any) -> tuple[str | None, str]:
        with pytest.raises(psycopg.Error) as error:
            self.ask(call_id, reason, **claims)
        return error.value.sqlstate, str(error.value).partition(":")[0]

    def sees(self) -> list[Any]:
        with self.signed_in() as connection:
            return connection.execute("SELECT id, status, url FROM recording_downloads ORDER BY created_at").fetchall()


@pytest.fixture
def user(desk: Desk) -> User:
    return User(desk.database, desk.org_id, uuid4())


class DeafBell:
    """Where the doorbells would go."""

    def __init__(self) -> None:
        self.rung: list[tuple[UUID, UUID]] = []
        self.rung_for_renditions: list[tuple[UUID, UUID]] = []

    def ring_for_downloads(self, asked: Sequence[tuple[UUID, UUID, str]], *, most: int) -> int:
        self.rung += [(org_id, download_id) for org_id, download_id, _ in asked]
        return max(0, len(asked) - most)

    def ring_for_renditions(self, asked: Sequence[tuple[UUID, UUID, str]], *, most: int) -> int:
        self.rung_for_renditions += [(org_id, download_id) for org_id, download_id, _ in asked]
        return max(0, len(asked) - most)


def look(database: Database, patience: str = "30s", *, bell: DeafBell | None = None) -> list[tuple[UUID, UUID]]:
    """One look of the dispatcher, as its own login."""
    bell = bell or DeafBell()
    with database.connect("recording_dispatcher") as connection:
        connection.execute(_SESSION)
        connection.execute("SELECT set_config('statement_timeout', %s, false)", (patience,))
        Reception(GrantKey.generate(), 60.0).tend(connection, bell)  # type: ignore[arg-type]
    return bell.rung


def stored_call(desk: Desk) -> UUID:
    upload = desk.claimed()
    desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)
    return upload.call_id


def trail(desk: Desk, download_id: UUID) -> list[str]:
    rows = desk.database.all("SELECT action FROM audit_log WHERE subject_id = %s ORDER BY id", download_id)
    return [action for (action,) in rows]


def ready(desk: Desk, download_id: UUID, url: str = "https://store.example/x", left_s: float = 60) -> Asked:
    downloads = Downloads(desk.engine, desk.grant)
    asked = downloads.asked(download_id)
    assert asked
    assert downloads.ready(asked, url, timedelta(seconds=left_s))
    return asked


def test_a_request_is_on_record_before_there_is_a_link_and_its_end_is_too(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    assert user.sees() == [(asked, "requested", None)]
    assert trail(desk, asked) == ["download_requested"]
    assert (desk.org_id, asked) in look(desk.database)
    ready(desk, asked)
    assert user.sees() == [(asked, "ready", "https://store.example/x")]
    desk.database.run("UPDATE recording_downloads SET expires_at = now() WHERE id = %s", asked)
    look(desk.database)
    assert user.sees() == [(asked, "expired", None)]
    assert trail(desk, asked) == ["download_requested", "download_ready", "download_expired"]
    (detail, actor) = desk.database.one(
        "SELECT detail, actor FROM audit_log WHERE subject_id = %s AND action = 'download_ready'", asked
    )
    assert (detail["sha256"], detail["requested_by"], actor) == (SHA, str(user.id), "recording_worker")
    assert "url" not in detail


def test_whoever_waits_is_told_of_each_change_by_id(desk: Desk, user: User) -> None:
    call_id = stored_call(desk)
    with desk.database.connect("authenticator") as listener:
        listener.execute("LISTEN recording_downloads")
        asked = user.ask(call_id)
        look(desk.database)
        ready(desk, asked)
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=2)]
    assert heard == [str(asked)] * 2


def test_a_recording_that_is_not_stored_yet_is_not_ready(desk: Desk, user: User) -> None:
    call_id = desk.call(desk.enqueue())["id"]
    assert user.refused(call_id) == ("PT409", "recording_not_ready")
    desk.database.run("UPDATE call_logs SET recording_status = 'failed' WHERE id = %s", call_id)
    assert user.refused(call_id) == ("PT409", "recording_not_available")


def test_another_organisations_call_and_none_at_all_are_answered_alike(desk: Desk, user: User) -> None:
    stranger = User(desk.database, desk.database.organisation(), uuid4())
    theirs = stored_call(desk)
    assert stranger.refused(theirs) == stranger.refused(uuid4()) == ("PT404", "call_not_found")
    assert desk.database.one("SELECT count(*) FROM recording_downloads WHERE call_id = %s", theirs) == 0


def test_who_is_not_signed_in_or_names_the_organisation_in_user_metadata_gets_nothing(desk: Desk, user: User) -> None:
    call_id = stored_call(desk)
    refusal = ("42501", "not_signed_in")
    assert user.refused(call_id, app_metadata={}) == refusal
    assert user.refused(call_id, app_metadata={}, user_metadata={"org_id": str(user.org_id)}) == refusal
    assert user.refused(call_id, sub="everyone") == refusal
    stranger = User(desk.database, desk.database.organisation(), uuid4())
    assert stranger.refused(call_id, user_metadata={"org_id": str(user.org_id)})[1] == "call_not_found"


@pytest.mark.parametrize("reason", ["", " \t\n", "x" * 501])
def test_a_reason_is_asked_for(desk: Desk, user: User, reason: str) -> None:
    assert user.refused(stored_call(desk), reason) == ("22023", "reason_missing")


def test_a_suspended_organisation_downloads_nothing(desk: Desk, user: User) -> None:
    call_id = stored_call(desk)
    desk.database.run("UPDATE organizations SET status = 'suspended' WHERE id = %s", desk.org_id)
    assert user.refused(call_id) == ("PT403", "organization_suspended")


def test_a_user_and_an_organisation_have_a_limit(desk: Desk, user: User) -> None:
    call_id, colleague = stored_call(desk), User(desk.database, desk.org_id, uuid4())
    many = (
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason, status)"
        " SELECT %s, %s, coalesce(%s, gen_random_uuid()), 'x', 'expired' FROM generate_series(1, %s)"
    )
    desk.database.run(many, desk.org_id, call_id, user.id, 60)
    assert user.refused(call_id) == ("PT429", "too_many_downloads")
    assert colleague.ask(call_id)
    desk.database.run(many, desk.org_id, call_id, None, 540)
    assert colleague.refused(call_id) == ("PT429", "too_many_downloads")
    desk.database.run("UPDATE recording_downloads SET created_at = now() - interval '1 minute'")
    assert user.ask(call_id)


def test_a_link_is_seen_by_the_one_who_asked_and_by_nobody_else(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    look(desk.database)
    ready(desk, asked)
    assert User(desk.database, desk.org_id, uuid4()).sees() == []
    assert User(desk.database, desk.database.organisation(), user.id).sees() == []
    for login in ("recording_ops", "recording_dispatcher", "call_handler"):
        with desk.database.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT url FROM recording_downloads")


def test_a_user_cannot_write_a_request_or_a_link_themselves(desk: Desk, user: User) -> None:
    call_id = stored_call(desk)
    asked = user.ask(call_id)
    for statement, *values in (
        (
            "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason) VALUES (%s, %s, %s, 'x')",
            user.org_id,
            call_id,
            user.id,
        ),
        ("UPDATE recording_downloads SET status = 'requested' WHERE id = %s", asked),
        ("DELETE FROM recording_downloads WHERE id = %s", asked),
        ("SELECT revoke_recording_download(%s, 'x')", asked),
    ):
        with user.signed_in() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement, values)


def test_only_a_dispatched_request_of_the_grants_organisation_is_answered_and_once(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    mine = Downloads(desk.engine, desk.grant)
    assert mine.asked(asked) is None
    look(desk.database)
    foreign = Downloads(desk.engine, desk.database.grant(desk.database.organisation()))
    assert foreign.asked(asked) is None
    found = mine.asked(asked)
    assert found
    assert (found.key, found.sha256) == (COPIED.object_key, SHA)
    assert not foreign.ready(found, "https://evil.example/", timedelta(seconds=60))
    assert mine.ready(found, "https://store.example/1", timedelta(seconds=60))
    assert not mine.ready(found, "https://store.example/2", timedelta(seconds=60))
    assert user.sees() == [(asked, "ready", "https://store.example/1")]


def test_what_nobody_answers_is_rung_for_again_and_ends_after_some_minutes(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    mine = (desk.org_id, asked)
    assert mine in look(desk.database)
    assert mine not in look(desk.database)
    desk.database.run("UPDATE recording_downloads SET dispatched_until = now() WHERE id = %s", asked)
    assert mine in look(desk.database)
    desk.database.run("UPDATE recording_downloads SET created_at = now() - interval '5 minutes' WHERE id = %s", asked)
    look(desk.database)
    assert user.sees() == [(asked, "failed", None)]
    assert desk.database.one("SELECT error_code FROM recording_downloads WHERE id = %s", asked) == "not_answered"
    assert trail(desk, asked) == ["download_requested", "download_failed"]


def test_an_operator_takes_a_link_away_and_says_why(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    look(desk.database)
    ready(desk, asked)

    def revoke(download_id: UUID, reason: str = "wrong patient") -> str:
        with desk.database.connect("recording_ops") as connection:
            row = connection.execute("SELECT revoke_recording_download(%s, %s)", (download_id, reason)).fetchone()
        assert row
        return str(row[0])

    with pytest.raises(psycopg.errors.InvalidParameterValue):
        revoke(asked, " ")
    assert [revoke(asked), revoke(asked), revoke(uuid4())] == ["revoked", "already_over", "not_found"]
    assert user.sees() == [(asked, "revoked", None)]
    assert trail(desk, asked) == ["download_requested", "download_ready", "download_revoked"]
    assert desk.database.one(
        "SELECT actor, reason FROM audit_log WHERE subject_id = %s AND action = 'download_revoked'", asked
    ) == ("recording_ops", "wrong patient")


@pytest.fixture
def quiet(desk: Desk) -> None:
    """Nothing waits that other tests have left."""
    desk.database.run("UPDATE recording_downloads SET status = 'revoked' WHERE status = 'requested'")


@pytest.mark.usefixtures("quiet")
def test_organisations_take_turns_and_few_doorbells_are_out_at_once(
    desk: Desk, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reception._MOST", 2)
    first = [user.ask(stored_call(desk)) for _ in range(3)]
    neighbour = Desk.open(desk.database)
    other = User(neighbour.database, neighbour.org_id, uuid4()).ask(stored_call(neighbour))
    neighbour.close()
    assert {download_id for _, download_id in look(desk.database)} == {first[0], other}
    assert look(desk.database) == [], "two are out, and not answered"
    ready(desk, first[0])
    assert look(desk.database) == [(desk.org_id, first[1])]


@pytest.mark.usefixtures("quiet")
def test_a_suspended_organisation_gets_no_link_for_what_it_asked_before(desk: Desk, user: User) -> None:
    user.ask(stored_call(desk))
    desk.database.run("UPDATE organizations SET status = 'suspended' WHERE id = %s", desk.org_id)
    assert look(desk.database) == []


@pytest.mark.usefixtures("quiet")
def test_a_row_that_somebody_holds_does_not_hold_up_the_dispatcher(desk: Desk, user: User) -> None:
    over, waits, free = (user.ask(stored_call(desk)) for _ in range(3))
    desk.database.run(
        "UPDATE recording_downloads SET status = 'ready', url = 'x', expires_at = now() WHERE id = %s", over
    )
    with desk.database.connect() as holder, holder.transaction():
        holder.execute("SELECT FROM recording_downloads WHERE id = ANY(%s) FOR UPDATE", ([over, waits],))
        assert look(desk.database, patience="1s") == [(desk.org_id, free)]
    assert look(desk.database) == [(desk.org_id, waits)]
    assert (over, "expired", None) in user.sees()


def test_what_is_over_stays_over_and_only_a_link_makes_a_row_ready(desk: Desk, user: User) -> None:
    asked = user.ask(stored_call(desk))
    with pytest.raises(psycopg.errors.CheckViolation), desk.database.connect("recording_dispatcher") as connection:
        connection.execute("UPDATE recording_downloads SET status = 'ready' WHERE id = %s", (asked,))
    look(desk.database)
    ready(desk, asked)
    desk.database.run("UPDATE recording_downloads SET expires_at = now() WHERE id = %s", asked)
    look(desk.database)
    for status in ("requested", "ready"):
        again = "UPDATE recording_downloads SET status = %(status)s, url = 'x' WHERE id = %(id)s"
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            run_as_task(desk.engine, desk.grant, again, {"status": status, "id": asked})
    assert user.sees() == [(asked, "expired", None)]

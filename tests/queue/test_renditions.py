"""Asking for a recording in another format, and the statements of who makes it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.desk import COPIED, Desk
from tests.queue.test_downloads import DeafBell, User, look, stored_call
from tests.waiting import until
from workers.doorbell import RENDITION_MARK
from workers.downloads import Downloads
from workers.renditions import Original, Rendition, Renditions, Wanted

MADE = Rendition("made.mp3", 10, "b" * 64)


@pytest.fixture
def user(desk: Desk) -> User:
    return User(desk.database, desk.org_id, uuid4())


@pytest.fixture(autouse=True)
def quiet(desk: Desk) -> None:
    """Nothing waits that other tests have left."""
    desk.database.run("UPDATE recording_downloads SET status = 'revoked' WHERE status = 'requested'")


def ask(user: User, call_id: UUID, wanted: str = "mp3") -> UUID:
    with user.signed_in() as connection:
        row = connection.execute("SELECT request_recording_download(%s, 'complaint', %s)", (call_id, wanted)).fetchone()
    assert row
    asked: UUID = row[0]
    return asked


def rung(desk: Desk) -> list[UUID]:
    bell = DeafBell()
    look(desk.database, bell=bell)
    assert bell.rung == []
    return [download_id for _, download_id in bell.rung_for_renditions]


def taken(desk: Desk, user: User) -> tuple[Wanted, Original]:
    asked = ask(user, stored_call(desk))
    assert rung(desk) == [asked]
    wanted = Renditions(desk.engine, desk.grant).take(asked)
    assert wanted
    assert wanted.original
    return wanted, wanted.original


def test_a_request_with_a_format_is_rung_for_by_itself_and_not_again_while_it_is_made(desk: Desk, user: User) -> None:
    call_id = stored_call(desk)
    asked, link = ask(user, call_id), user.ask(call_id)
    bell = DeafBell()
    look(desk.database, bell=bell)
    assert (bell.rung, bell.rung_for_renditions) == ([(desk.org_id, link)], [(desk.org_id, asked)])
    left = desk.database.one("SELECT dispatched_until - now() FROM recording_downloads WHERE id = %s", asked)
    assert RENDITION_MARK - timedelta(seconds=20) < left <= RENDITION_MARK
    assert rung(desk) == []


def test_who_waits_for_a_link_does_not_wait_behind_renditions(
    desk: Desk, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.reception._MOST", 1)
    monkeypatch.setattr("workers.reception._MOST_RENDITIONS", 1)
    call_id = stored_call(desk)
    many = [ask(user, call_id) for _ in range(3)]
    assert rung(desk) == many[:1]
    link = user.ask(call_id)
    assert look(desk.database) == [(desk.org_id, link)]


def test_a_request_with_a_format_is_not_answered_with_the_original(desk: Desk, user: User) -> None:
    """Whoever can write to the broker could ring the other bell: its grant is for the same row."""
    call_id = stored_call(desk)
    asked, link = ask(user, call_id), user.ask(call_id)
    look(desk.database)
    assert Downloads(desk.engine, desk.grant).asked(asked) is None
    assert Renditions(desk.engine, desk.grant).take(link) is None


def test_what_is_taken_is_the_recording_that_was_asked_for_and_only_by_its_own_grant(desk: Desk, user: User) -> None:
    asked = ask(user, stored_call(desk))
    mine = Renditions(desk.engine, desk.grant)
    assert mine.take(asked) is None, "not dispatched"
    assert rung(desk) == [asked]
    assert Renditions(desk.engine, desk.database.grant(desk.database.organisation())).take(asked) is None
    wanted = mine.take(asked)
    assert wanted
    assert wanted.original
    assert (wanted.format, wanted.original.key, wanted.original.sha256) == ("mp3", COPIED.object_key, COPIED.sha256)


def test_a_recording_that_is_no_more_has_no_original(desk: Desk, user: User) -> None:
    asked = ask(user, stored_call(desk))
    look(desk.database)
    desk.database.run("UPDATE recording_downloads SET sha256 = %s WHERE id = %s", "c" * 64, asked)
    wanted = Renditions(desk.engine, desk.grant).take(asked)
    assert wanted
    assert wanted.original is None


def test_the_first_rendition_stands(desk: Desk, user: User) -> None:
    wanted, original = taken(desk, user)
    renditions = Renditions(desk.engine, desk.grant)
    assert renditions.kept(original, "mp3") is None
    renditions.keep(original, "mp3", MADE)
    renditions.keep(original, "mp3", Rendition("other.mp3", 11, "c" * 64))
    assert renditions.kept(original, "mp3") == MADE
    assert renditions.kept(original, "ogg") is None
    renditions.forget(original, "mp3", Rendition("other.mp3", 11, "c" * 64))
    assert renditions.kept(original, "mp3") == MADE, "another's row is not forgotten"
    renditions.forget(original, "mp3", MADE)
    assert renditions.kept(original, "mp3") is None
    assert wanted.format == "mp3"


def test_of_another_recording_no_rendition_is_kept(desk: Desk, user: User) -> None:
    _, original = taken(desk, user)
    renditions = Renditions(desk.engine, desk.grant)
    other = Original(original.upload_id, original.key, original.size_bytes, "d" * 64)
    renditions.keep(other, "mp3", MADE)
    assert renditions.kept(other, "mp3") is None
    foreign = Renditions(desk.engine, desk.database.grant(desk.database.organisation()))
    foreign.keep(original, "mp3", MADE)
    assert renditions.kept(original, "mp3") is None


def test_of_a_recording_that_ceases_to_be_meanwhile_no_rendition_is_kept(desk: Desk, user: User) -> None:
    _, original = taken(desk, user)
    renditions = Renditions(desk.engine, desk.grant)
    with desk.database.connect() as eraser, ThreadPoolExecutor() as pool:
        eraser.autocommit = False
        eraser.execute("UPDATE recording_upload_queue SET sha256 = %s WHERE id = %s", ("e" * 64, original.upload_id))
        keeping = pool.submit(renditions.keep, original, "mp3", MADE)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        until(lambda: desk.database.one(waits) == 1)
        eraser.commit()
        keeping.result(timeout=20)
    assert renditions.kept(original, "mp3") is None
    assert desk.database.one("SELECT count(*) FROM recording_renditions WHERE upload_id = %s", original.upload_id) == 0


def test_what_is_let_go_is_rung_for_again(desk: Desk, user: User) -> None:
    wanted, _ = taken(desk, user)
    Renditions(desk.engine, desk.grant).let_go(wanted, timedelta(0))
    assert rung(desk) == [wanted.id]


def test_with_nobody_who_makes_them_a_request_ends_as_not_answered(desk: Desk, user: User) -> None:
    asked = ask(user, stored_call(desk))
    desk.database.run("UPDATE recording_downloads SET created_at = now() - interval '5 minutes' WHERE id = %s", asked)
    look(desk.database)
    row = desk.database.one("SELECT status, error_code FROM recording_downloads WHERE id = %s", asked)
    assert row == ("failed", "not_answered")


def test_an_unknown_format_is_refused_in_words(desk: Desk, user: User) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="format_unknown"):
        ask(user, stored_call(desk), "exe")

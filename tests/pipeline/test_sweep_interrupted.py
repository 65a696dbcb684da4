"""Sweeps that are killed, interrupted, refused, overtaken, or carried on by the next doorbell."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.database import Database
from tests.pipeline.s3_server import S3Server
from tests.pipeline.yard import AUDIO, Yard
from workers import sweeper as sweeper_module
from workers.drain import Drain
from workers.findings import Findings
from workers.store import Store
from workers.territory import QUARANTINE
from workers.uploads import object_key

CALLS = {"head_object", "copy_object", "delete_object", "abort_multipart_upload"}


@pytest.fixture
def yard(database: Database, store: Store) -> Iterator[Yard]:
    """In a database of its own: these look at what the dispatcher does next."""
    opened = Yard.open(database, store)
    yield opened
    opened.desk.close()


class Killed(BaseException):
    """The process is gone: nothing is tidied up."""


def watched(store: Store, before: Callable[[str], None], after: Callable[[str], None] = lambda _: None) -> Any:
    """The store, with something done around each of a sweep's calls for one object."""
    real = store.client

    class Client:
        def __getattr__(self, name: str) -> Any:
            found = getattr(real, name)
            if name not in CALLS:
                return found

            def call(**given: Any) -> Any:
                before(name)
                answer = found(**given)
                after(name)
                return answer

            return call

    seen = SimpleNamespace(client=Client(), bucket=store.bucket, sse=store.sse, get=store.get)
    seen.within = lambda _: seen
    return seen


def killing(store: Store, at: int, *, once_done: bool) -> Any:
    """Kills at the call of this number: before it is made, or as soon as the store has done it."""
    left = [at]

    def count(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def let(_: str) -> None:
        return None

    return watched(store, let, count) if once_done else watched(store, count)


def expire(yard: Yard) -> None:
    yard.desk.database.run("UPDATE app.sweeps SET leased_until = now() - interval '1 second'")


@pytest.mark.parametrize("once_done", [False, True], ids=["before the call", "after the call"])
def test_a_sweep_killed_anywhere_and_run_again_ends_the_same(yard: Yard, *, once_done: bool) -> None:
    """One of each finding, killed at every call in turn, from the first to the one that is never reached."""
    database, deaths = yard.desk.database, 0
    for number in range(1, 40):
        yard = Yard.open(database, yard.store)
        kept, missing, differing = yard.recording(), yard.recording(), yard.recording()
        orphan, part = yard.orphan(), yard.loose_key()
        yard.delete(missing)
        yard.overwrite(differing, AUDIO * 2)
        yard.start_parts(part)
        yard.ring()
        try:
            yard.sweeper(store=killing(yard.store, number, once_done=once_done)).carry_out(yard.desk.grant)
            died = False
        except Killed:
            died = True
            assert not yard.is_swept()
            expire(yard)
            yard.ring_again()
            yard.sweeper().carry_out(yard.desk.grant)
        assert yard.is_swept()
        assert yard.objects() == {kept: AUDIO, differing: AUDIO * 2, QUARANTINE + orphan: AUDIO}
        assert yard.parts_under_way() == []
        lost = {("object_missing", missing, "reported"), ("object_differs", differing, "reported")}
        done = {("object_orphaned", orphan, "quarantined"), ("multipart_stale", part, "aborted")}
        assert set(yard.still_open()) == lost | done
        assert set(yard.sweep()) == lost
        yard.desk.close()
        if not died:
            break
        deaths += 1
    assert 8 <= deaths < 39


def test_an_upload_that_comes_back_to_life_while_its_object_is_put_aside_keeps_it(yard: Yard) -> None:
    """Given up, retried, and completed with the object that its new attempt found, in the instant before it goes."""
    upload = yard.claimed()
    key = yard.put(object_key(upload, "wav"))
    yard.give_up(upload)

    def revive(call: str) -> None:
        if call == "delete_object":
            yard.desk.change(upload.id, "status = 'pending', next_attempt_at = now()")
            again = yard.desk.worker().claim(yard.desk.grant, upload.id)
            assert again
            yard.complete(again)

    yard.sweep(store=watched(yard.store, revive))
    assert yard.read(key) == AUDIO
    assert yard.sweep() == []


def test_an_upload_that_comes_back_to_life_before_that_is_left_alone(yard: Yard) -> None:
    upload = yard.claimed()
    key = yard.put(object_key(upload, "wav"))
    yard.give_up(upload)

    def revive(call: str) -> None:
        if call == "copy_object":
            yard.desk.change(upload.id, "status = 'pending', next_attempt_at = now()")

    assert yard.sweep(store=watched(yard.store, revive)) == []
    assert yard.read(key) == AUDIO


def test_an_object_that_was_replaced_after_its_copy_is_not_removed(yard: Yard) -> None:
    orphan = yard.orphan()

    def replace_it(call: str) -> None:
        if call == "delete_object":
            yard.overwrite(orphan, b"new")

    yard.ring()
    yard.sweeper(store=watched(yard.store, replace_it)).carry_out(yard.desk.grant)
    assert yard.objects() == {orphan: b"new", QUARANTINE + orphan: AUDIO}


def test_a_large_storage_is_swept_a_slice_at_a_time(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each doorbell carries on behind the last; what was found stays open until a whole sweep has not seen it."""
    monkeypatch.setattr(sweeper_module, "_BATCH", 2)
    keys = sorted(yard.recording() for _ in range(6))
    yard.delete(keys[0])
    yard.delete(keys[5])
    orphan = yard.orphan()
    reached = []
    yard.ring()
    for _ in range(10):
        yard.sweeper(slice_s=0.0).carry_out(yard.desk.grant)
        reached.append(yard.desk.database.one("SELECT reached_key FROM app.sweeps"))
        if yard.is_swept():
            break
        yard.ring_again()
    assert len(reached) == 5
    assert reached == sorted(reached)
    found = {("object_missing", keys[0], "reported"), ("object_missing", keys[5], "reported")}
    assert set(yard.still_open()) == found | {("object_orphaned", orphan, "quarantined")}
    yard.put(keys[0])
    yard.ring()
    yard.sweeper(slice_s=0.0).carry_out(yard.desk.grant)
    assert not yard.is_swept()
    assert len(yard.still_open()) == 3


def test_a_store_that_refuses_stops_the_sweep_and_not_the_next_one(yard: Yard, s3_server: S3Server) -> None:
    orphan = yard.orphan()
    yard.ring()
    with s3_server.store(secret_access_key="wrong") as refused:
        yard.sweeper(store=refused).carry_out(yard.desk.grant)
    assert not yard.is_swept()
    yard.ring_again()
    yard.sweeper().carry_out(yard.desk.grant)
    assert yard.is_swept()
    assert yard.still_open() == [("object_orphaned", orphan, "quarantined")]


def test_a_worker_that_shuts_down_lets_go_at_once_and_begins_nothing(yard: Yard) -> None:
    orphans, drain = {yard.orphan(), yard.orphan()}, Drain(0.0)
    yard.ring()
    yard.sweeper(store=watched(yard.store, lambda _: drain.begin()), drain=drain).carry_out(yard.desk.grant)
    assert not yard.is_swept()
    yard.ring_again()
    yard.sweeper(drain=drain).carry_out(yard.desk.grant)
    assert yard.desk.database.one("SELECT claimed_at < rung_at FROM app.sweeps")
    yard.sweeper().carry_out(yard.desk.grant)
    assert set(yard.still_open()) == {("object_orphaned", orphan, "quarantined") for orphan in orphans}


def test_a_doorbell_that_is_doubled_forged_or_late_does_nothing(yard: Yard) -> None:
    yard.ring()
    yard.sweeper().carry_out(yard.desk.grant)
    before = yard.desk.database.all("SELECT * FROM app.sweeps")
    orphan = yard.orphan()
    for grant in (
        yard.desk.grant,
        yard.desk.grant[:-2],
        "",
        yard.desk.database.grant(yard.desk.database.organisation()),
    ):
        yard.sweeper().carry_out(grant)
    assert yard.desk.database.all("SELECT * FROM app.sweeps") == before
    assert orphan in yard.objects()


def test_whoever_was_overtaken_says_nothing_more_of_how_far_it_came(yard: Yard) -> None:
    yard.ring()
    slow = Findings(yard.desk.engine, yard.desk.grant, timedelta(seconds=60))
    turn = slow.claim()
    assert turn
    assert slow.claim() is None
    expire(yard)
    yard.ring_again()
    yard.sweeper().carry_out(yard.desk.grant)
    before = yard.desk.database.all("SELECT * FROM app.sweeps")
    for act in (slow.keep, slow.let_go, slow.finish):
        with pytest.raises(Exception, match="Another attempt owns"):
            act(replace(turn, reached_key="zzz"))
    assert yard.desk.database.all("SELECT * FROM app.sweeps") == before

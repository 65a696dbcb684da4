"""Sweeps on a real bucket and a real database: each finding from its real condition, and what is done about it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.database import Database
from tests.pipeline.s3_server import S3Server, payload
from tests.pipeline.yard import AUDIO, Yard
from workers import sweeper as sweeper_module
from workers.premises import Held, Premises
from workers.renditions import rendition_key
from workers.store import Store
from workers.sweep import Kept, Unfinished
from workers.territory import QUARANTINE
from workers.uploads import object_key


@pytest.fixture
def yard(shared: Database, store: Store) -> Iterator[Yard]:
    opened = Yard.open(shared, store)
    yield opened
    opened.desk.close()


def test_where_all_is_well_nothing_is_found_and_nothing_moved(yard: Yard) -> None:
    keys = {yard.recording() for _ in range(3)}
    before = yard.objects()
    assert yard.sweep() == []
    assert yard.objects() == before
    assert before.keys() == keys


def test_renditions_are_compared_as_their_originals_are(yard: Yard) -> None:
    original = yard.recording()
    first, second = (yard.rendition(original, kind, AUDIO + kind.encode()) for kind in ("mp3", "ogg"))
    another = yard.recording(AUDIO * 2)
    assert yard.sweep() == []
    assert yard.objects().keys() == {original, first, second, another}
    yard.delete(first)
    yard.overwrite(second, AUDIO + b"OGG")
    found = [("object_differs", second, "reported"), ("object_missing", first, "reported")]
    assert yard.sweep() == sorted(found)
    assert yard.sweep() == sorted(found), "and stays open"
    yard.put(first, AUDIO + b"mp3")
    yard.overwrite(second, AUDIO + b"ogg")
    assert yard.sweep() == []


def test_a_rendition_that_no_row_names_is_an_orphan(yard: Yard) -> None:
    original = yard.recording()
    named = yard.rendition(original, "mp3", AUDIO * 3)
    stray = yard.put(rendition_key(original, "f" * 64, "mp3"))
    assert yard.sweep() == [("object_orphaned", stray, "quarantined")]
    assert yard.objects().keys() == {original, named, QUARANTINE + stray}


def test_an_orphan_is_moved_to_quarantine_with_every_byte(yard: Yard) -> None:
    kept, orphan = yard.recording(), yard.orphan(AUDIO * 2)
    assert yard.sweep() == [("object_orphaned", orphan, "quarantined")]
    assert yard.objects() == {kept: AUDIO, QUARANTINE + orphan: AUDIO * 2}
    (finding,) = yard.findings()
    assert str(finding.upload_id) in orphan


def test_a_large_orphan_in_parts_is_moved_with_every_byte(yard: Yard) -> None:
    data = bytes(range(256)) * 40_000
    key = yard.loose_key()
    yard.store.put(key, "audio/wav", payload(data, knows_length=False))
    assert yard.sweep() == [("object_orphaned", key, "quarantined")]
    assert yard.objects() == {QUARANTINE + key: data}


def test_what_was_put_aside_is_resolved_by_the_next_sweep_and_stays_on_record(yard: Yard) -> None:
    orphan = yard.orphan()
    yard.sweep()
    assert yard.sweep() == []
    (finding,) = yard.findings(with_resolved=True)
    assert (finding.object_key, finding.action) == (orphan, "quarantined")
    assert finding.resolved_at


def test_an_object_of_an_upload_that_was_given_up_is_an_orphan(yard: Yard) -> None:
    upload = yard.claimed()
    key = yard.put(object_key(upload, "wav"))
    yard.give_up(upload)
    assert yard.sweep() == [("object_orphaned", key, "quarantined")]


def test_a_second_object_of_a_completed_upload_is_an_orphan_and_the_recording_stays(yard: Yard) -> None:
    upload = yard.claimed()
    second = yard.put(object_key(upload, "mp3"), AUDIO * 3)
    first = yard.put(object_key(upload, "wav"))
    yard.complete(upload)
    assert yard.sweep() == [("object_orphaned", second, "quarantined")]
    assert yard.objects() == {first: AUDIO, QUARANTINE + second: AUDIO * 3}


def test_a_young_orphan_is_left_alone_and_not_even_mentioned(yard: Yard) -> None:
    orphan = yard.orphan()
    yard.put(f"{yard.org_id}/notes.txt")
    yard.start_parts(yard.loose_key())
    yard.grace_s = 3600
    assert yard.sweep() == []
    assert orphan in yard.objects()
    assert yard.parts_under_way()


def test_an_object_of_an_unsettled_upload_is_left_alone(yard: Yard) -> None:
    processing, pending = yard.claimed(), yard.claimed()
    keys = {yard.put(object_key(upload, "wav")) for upload in (processing, pending)}
    yard.desk.worker().put_back(yard.desk.grant, pending, total_ms=1)
    assert yard.sweep() == []
    assert yard.objects().keys() == keys


def test_a_stale_multipart_upload_is_aborted_and_that_of_a_live_attempt_is_not(yard: Yard) -> None:
    live, given_up = yard.claimed(), yard.claimed()
    yard.give_up(given_up)
    stale = [object_key(given_up, "wav"), yard.loose_key()]
    for key in (object_key(live, "wav"), *stale):
        yard.start_parts(key)
    assert yard.sweep() == sorted(("multipart_stale", key, "aborted") for key in stale)
    assert yard.parts_under_way() == [object_key(live, "wav")]
    assert yard.sweep() == []


def test_a_completed_row_whose_object_is_gone_is_reported_until_it_is_back(yard: Yard) -> None:
    key, other = yard.recording(), yard.recording()
    yard.delete(key)
    assert yard.sweep() == [("object_missing", key, "reported")]
    assert yard.sweep() == [("object_missing", key, "reported")]
    yard.put(key)
    assert yard.sweep() == []
    assert yard.objects().keys() == {key, other}


def test_a_missing_object_that_lies_in_quarantine_is_brought_back_if_it_is_the_very_one(yard: Yard) -> None:
    same, other = yard.recording(), yard.recording()
    for key, data in ((same, AUDIO), (other, AUDIO[::-1])):
        yard.delete(key)
        yard.put(QUARANTINE + key, data)
    assert set(yard.sweep()) == {("object_missing", other, "reported"), ("object_missing", same, "restored")}
    assert yard.read(same) == AUDIO
    assert [finding.is_loss for finding in yard.findings() if finding.object_key == same] == [False]
    assert yard.sweep() == [("object_missing", other, "reported")]


@pytest.mark.parametrize("data", [AUDIO + b"more", AUDIO[::-1]], ids=["by its size", "by its checksum"])
def test_an_object_that_is_not_what_was_stored_is_reported_until_it_is(yard: Yard, data: bytes) -> None:
    key, _ = yard.recording(), yard.recording()
    yard.overwrite(key, data)
    assert yard.sweep() == [("object_differs", key, "reported")]
    first_seen = yard.findings()[0].first_seen_at
    assert yard.sweep() == [("object_differs", key, "reported")]
    assert yard.findings()[0].first_seen_at == first_seen
    assert yard.read(key) == data
    yard.overwrite(key, AUDIO)
    assert yard.sweep() == []


def test_of_an_object_in_parts_the_size_is_compared_and_nothing_downloaded(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = yard.claimed()
    data = bytes(9_000_000)
    yard.store.put(object_key(upload, "wav"), "audio/wav", payload(data, knows_length=False))
    yard.complete(upload, data)
    monkeypatch.setattr(Store, "get", None)
    assert yard.sweep() == []


def test_checksums_are_looked_at_in_turn_and_a_difference_that_was_found_again_each_time(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper_module, "_SAMPLE", 1)
    keys = sorted(yard.recording() for _ in range(3))
    for key in keys:
        yard.overwrite(key, AUDIO[::-1])
    found = [len(yard.sweep()) for _ in range(4)]
    assert found == [1, 2, 3, 3]


def test_what_nobody_of_us_named_is_reported_and_not_touched(yard: Yard) -> None:
    strange = sorted(f"{yard.org_id}/{name}" for name in ("export.zip", "2026/05/a b/é.wav", "x/y", "x-y", "x/y/z"))
    kept = yard.recording()
    for key in strange:
        yard.put(key, b"1")
    assert yard.sweep() == [("object_unknown", key, "reported") for key in strange]
    assert yard.objects().keys() == {kept, *strange}


def test_more_orphans_than_a_sweep_may_move_are_reported(yard: Yard) -> None:
    orphans = sorted(yard.orphan() for _ in range(5))
    found = yard.sweep(most_moved=2)
    assert [(key, action) for _, key, action in found] == list(
        zip(orphans, ["quarantined"] * 2 + ["reported"] * 3, strict=True)
    )
    assert [key for key in yard.objects() if not key.startswith(QUARANTINE)] == orphans[2:]


def test_an_orphan_whose_place_in_quarantine_is_taken_by_another_stays_where_it_is(yard: Yard) -> None:
    orphan = yard.orphan()
    yard.put(QUARANTINE + orphan, b"another")
    assert yard.sweep() == [("object_orphaned", orphan, "reported")]
    assert yard.objects() == {orphan: AUDIO, QUARANTINE + orphan: b"another"}


def test_another_organisation_s_objects_are_neither_listed_nor_touched(
    shared: Database, store: Store, yard: Yard
) -> None:
    other = Yard.open(shared, store)
    kept, missing, orphan = other.recording(), other.recording(), other.orphan()
    other.delete(missing)
    other.start_parts(other.loose_key())
    mine = yard.orphan()
    assert yard.sweep() == [("object_orphaned", mine, "quarantined")]
    assert other.objects() == {kept: AUDIO, orphan: AUDIO}
    assert other.parts_under_way()
    assert other.still_open() == []
    other.desk.close()


def test_a_key_outside_the_organisation_s_part_is_refused_in_the_code(yard: Yard) -> None:
    premises = Premises(yard.store, yard.org_id)
    acts: list[Callable[[str], object]] = [
        premises.head,
        premises.put_back,
        lambda key: premises.abort(Unfinished(key, "1", datetime.now(UTC))),
        lambda key: premises.copy_aside(key, Held(1, None, "etag")),
        lambda key: premises.remove(key, Held(1, None, "etag")),
        lambda key: premises.has_aside(Kept(uuid4(), key, 1, "00")),
    ]
    for key in (f"{uuid4()}/a", f"{yard.org_id}", f"{yard.org_id}x/a", f"{QUARANTINE}{yard.org_id}/a", "a", ""):
        for act in acts:
            with pytest.raises(ValueError, match="outside the organisation"):
                act(key)


def test_a_row_that_names_an_object_elsewhere_is_reported_and_nothing_is_asked_there(yard: Yard) -> None:
    upload = yard.claimed()
    yard.complete(upload)
    elsewhere = f"{uuid4()}/2026/05/{uuid4()}/{uuid4()}.wav"
    yard.desk.database.run("UPDATE recording_upload_queue SET object_key = %s WHERE id = %s", elsewhere, upload.id)
    assert yard.sweep() == [("object_missing", elsewhere, "reported")]


def test_objects_are_put_aside_encrypted_where_recordings_are(s3_server: S3Server, yard: Yard) -> None:
    """The copy asks for what the upload asked for; the tests' own store has no key to do it with."""
    store = s3_server.store()
    copy, asked = store.client.copy_object, []

    def without_a_key(**given: str) -> object:
        asked.append(given.pop("ServerSideEncryption"))
        return copy(**given)

    store.sse, store.client.copy_object = "AES256", without_a_key
    orphan = yard.orphan()
    assert replace(yard, store=store).sweep() == [("object_orphaned", orphan, "quarantined")]
    assert asked == ["AES256"]
    store.close()

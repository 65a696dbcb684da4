"""The store, on a real SeaweedFS: create-only, proven, or nothing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import repeat

import pytest

from tests.pipeline.s3_server import MIB, S3Server, gone, payload
from workers import errors
from workers.demo.recordings import wav
from workers.multipart import PART
from workers.payload import Payload
from workers.store import Store


def stopping(data: bytes, error: BaseException) -> Iterator[memoryview]:
    yield memoryview(data)
    raise error


class Corrupted(Payload):
    """One bit changes after the hash was taken, as on a bad wire or in bad memory."""

    def __next__(self) -> memoryview:
        buffer = bytearray(super().__next__())
        buffer[len(buffer) // 2] ^= 1
        return memoryview(buffer)


@pytest.mark.parametrize("size", [1, 44, 200_000, MIB - 1, MIB, MIB + 1, 3 * MIB + 17])
def test_an_object_is_stored_as_it_is_with_its_checksum(store: Store, key: str, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    store.put(key, "audio/wav", payload(data[:size]))
    stored = store.head(key)
    assert stored is not None
    assert (stored.size_bytes, stored.content_type) == (size, "audio/wav")
    assert stored.sha256 == sha256(data[:size]).hexdigest()
    assert b"".join(store.get(key)) == data[:size]
    assert list(store.list(key)) == [key]


@pytest.mark.parametrize("size", [200_000, PART - 1, PART, 20 * MIB])
def test_an_object_of_unknown_length_is_stored_whole(store: Store, key: str, size: int) -> None:
    data = wav(1, size)
    store.put(key, "audio/wav", payload(data, knows_length=False))
    stored = store.head(key)
    assert stored is not None
    assert (stored.size_bytes, stored.content_type) == (size, "audio/wav")
    assert (stored.sha256 is None) == (size >= PART)  # one PUT while a single part holds it all
    assert sha256(b"".join(store.get(key))).digest() == sha256(data).digest()


@pytest.mark.parametrize("knows_length", [True, False])
@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_the_same_object_twice_is_one_object_and_no_error(
    store: Store, key: str, size: int, knows_length: bool
) -> None:
    data = wav(2, size)
    for _ in range(2):
        store.put(key, "audio/wav", payload(data, knows_length=knows_length))
    store.put(key, "audio/wav", payload(data, knows_length=not knows_length))
    assert b"".join(store.get(key)) == data


@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_another_object_under_the_same_key_is_a_mismatch_and_the_first_stays(store: Store, key: str, size: int) -> None:
    data, other, longer = wav(3, size), wav(4, size), wav(3, size + 2)
    store.put(key, "audio/wav", payload(data))
    for different in (payload(other), payload(longer), payload(other, knows_length=False)):
        with pytest.raises(errors.IntegrityMismatch):
            store.put(key, "audio/wav", different)
    assert b"".join(store.get(key)) == data


def test_of_eight_racers_one_stores_and_all_are_content(store: Store, key: str) -> None:
    data, failures, start = wav(5, 400_000), [], threading.Barrier(8)

    def race() -> None:
        start.wait()
        try:
            store.put(key, "audio/wav", payload(data, step=50_000))
        except errors.RecordingError as error:
            failures.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert b"".join(store.get(key)) == data


@pytest.mark.parametrize("size", [200_000, 3 * MIB])
def test_bytes_that_changed_on_the_way_are_refused_and_nothing_is_stored(store: Store, key: str, size: int) -> None:
    with pytest.raises(errors.IntegrityMismatch):
        store.put(key, "audio/wav", Corrupted(iter((memoryview(wav(6, size)),)), length=size))
    assert gone(store, key)


@pytest.mark.parametrize("error", [errors.SourceTruncated(), errors.LeaseLost(), KeyboardInterrupt()])
@pytest.mark.parametrize("length", [5 * MIB, None])
@pytest.mark.parametrize("sent", [200_000, 4 * MIB])
def test_a_source_that_stops_midway_leaves_no_object(
    store: Store, key: str, error: BaseException, length: int | None, sent: int
) -> None:
    with pytest.raises(type(error)):
        store.put(key, "audio/wav", Payload(stopping(wav(7, sent), error), length=length))
    assert gone(store, key)


def test_an_interrupted_upload_in_parts_is_aborted(store: Store, key: str) -> None:
    def endless() -> Iterator[memoryview]:
        yield from repeat(memoryview(wav(8, MIB)), 20)
        raise errors.LeaseLost

    with pytest.raises(errors.LeaseLost):
        store.put(key, "audio/wav", Payload(endless()))
    assert gone(store, key)
    uploads = store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=key)
    assert not uploads.get("Uploads")


def test_a_body_that_ends_before_its_length_leaves_no_object(store: Store, key: str) -> None:
    with pytest.raises(errors.SourceTruncated):
        store.put(key, "audio/wav", Payload(iter((memoryview(b"RIFF"),)), length=5))
    assert gone(store, key)


def test_the_store_serves_the_content_type_and_no_coding(store: Store, key: str) -> None:
    store.put(key, "audio/mpeg", payload(b"x" * 100))
    found = store.client.head_object(Bucket=store.bucket, Key=key)
    assert found["ContentType"] == "audio/mpeg"
    assert "ContentEncoding" not in found


def test_a_link_leads_to_where_users_reach_the_store_whoever_asked_it_before(s3_server: S3Server, key: str) -> None:
    with s3_server.store(users_endpoint_url="https://recordings.example") as store:
        store.put(key, "audio/wav", payload(b"x" * 100))
        assert store.head(key) is not None
        link = store.link(key, content_type="audio/wav", filename="r.wav", lifetime=timedelta(seconds=60))
    assert link.startswith(f"https://recordings.example/{store.bucket}/{key}?")


def test_a_worker_may_check_its_bucket(store: Store) -> None:
    store.check()


def test_wrong_credentials_or_bucket_are_for_the_operator(s3_server: S3Server, key: str) -> None:
    wrong = ({"secret_access_key": "wrong"}, {"access_key_id": "nobody"}, {"bucket": "elsewhere"})
    for changes in wrong:
        with s3_server.store(**changes) as denied:
            with pytest.raises(errors.StoreDenied):
                denied.check()
            for data in (b"x" * 100, b"x" * 9 * MIB):  # the second is refused while it is being sent
                with pytest.raises(errors.StoreDenied):
                    denied.put(key, "audio/wav", payload(data))
                with pytest.raises(errors.StoreDenied):
                    denied.put(key, "audio/wav", payload(data, knows_length=False))


def test_a_restart_of_the_store_costs_no_recording(s3_server: S3Server, store: Store, key: str) -> None:
    """Connections kept from before are dead: a recording that fits a buffer is sent again on a fresh one."""
    store.put(key, "audio/wav", payload(wav(9, 1_000)))
    s3_server.restart()
    store.put(f"{key}.2", "audio/wav", payload(wav(9, 1_000)))
    assert b"".join(store.get(f"{key}.2")) == wav(9, 1_000)


def test_a_store_that_is_down_is_unavailable(s3_server: S3Server, key: str) -> None:
    with s3_server.store(endpoint_url="http://127.0.0.1:9") as down:
        for knows_length in (True, False):
            with pytest.raises(errors.StoreUnavailable):
                down.put(key, "audio/wav", payload(b"x" * 9 * MIB, knows_length=knows_length))
        with pytest.raises(errors.StoreUnavailable):
            down.check()

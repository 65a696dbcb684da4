"""The ZIP of an export, as a stream: what is in it, and what it costs."""

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pytest

from workers.archive import archive, entry
from workers.exports import Export, Part

EXPORT = Export(UUID(int=7), UUID(int=1), 2, 3, datetime(2026, 11, 28, tzinfo=UTC))


def part(number: int, content: bytes = b"audio") -> Part:
    started = datetime(2026, 11, 28, 10, number % 60, tzinfo=UTC)
    key = f"{EXPORT.org_id}/2026/11/c/{number}.wav"
    return Part(UUID(int=number), UUID(int=100 + number), started, 61, key, len(content), sha256(content).hexdigest())


def test_a_zip_has_each_recording_as_it_is_and_two_manifests_that_agree() -> None:
    contents = {part(number).filename: f"audio {number}".encode() for number in range(3)}
    parts = [part(number, contents[part(number).filename]) for number in range(3)]
    stream = archive(EXPORT, lambda: parts, lambda one: iter((contents[one.filename],)))
    with zipfile.ZipFile(io.BytesIO(b"".join(stream))) as made:
        assert made.testzip() is None
        assert made.namelist() == [*contents, "manifest.json", "manifest.csv"]
        assert {name: made.read(name) for name in contents} == contents
        listed = json.loads(made.read("manifest.json"))
        lines = list(csv.DictReader(io.StringIO(made.read("manifest.csv").decode())))
    assert listed["recordings"] == [entry(one) for one in parts]
    assert lines == [{name: str(value) for name, value in entry(one).items()} for one in parts]


def test_a_call_of_unknown_time_and_length_has_empty_fields() -> None:
    bare = Part(UUID(int=1), UUID(int=2), None, None, "o/2026/11/c/u.mp3", 1, "ab" * 32)
    assert (entry(bare)["started_at"], entry(bare)["duration_s"]) == (None, None)
    assert entry(bare)["file"] == f"recording-{bare.call_id}.mp3"


def test_names_and_keys_hold_ids_and_nothing_of_a_person() -> None:
    assert EXPORT.key == f"exports/{EXPORT.org_id}/{EXPORT.id}-2.zip"
    assert EXPORT.filename == f"recordings-{EXPORT.id}.zip"


def test_what_goes_wrong_while_a_recording_is_read_leaves_a_zip_without_an_end() -> None:
    def read(_: Part) -> Iterator[bytes]:
        yield b"some"
        raise OSError

    stream, made = archive(EXPORT, lambda: [part(1)], read), bytearray()
    with pytest.raises(OSError):
        for piece in stream:
            made += piece
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(made))


def test_ten_thousand_recordings_need_no_more_memory_than_their_names() -> None:
    content = b"x" * 10_000
    template = part(1, content)

    def parts() -> Iterator[Part]:
        for number in range(10_000):
            call = UUID(int=number)
            yield Part(call, call, template.started_at, 61, template.key, len(content), template.sha256)

    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in archive(EXPORT, parts, lambda _: iter((content,))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 100_000_000
    assert peak < 25_000_000

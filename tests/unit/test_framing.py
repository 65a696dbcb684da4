import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import errors, framing, multipart
from workers.framing import CHUNK, framed_length, frames
from workers.multipart import MOST_PARTS, PART, composite, part_size, parts_of
from workers.payload import Payload


def cut(data: bytes, places: list[int]) -> Iterator[memoryview]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return (memoryview(data)[a:b] for a, b in pairwise(edges))


def parse(sent: bytes) -> tuple[bytes, bytes]:
    """The body and the trailer, read as a store reads them."""
    body = b""
    while match := re.match(rb"([0-9A-F]+)\r\n", sent):
        size, sent = int(match[1], 16), sent[match.end() :]
        if not size:
            return body, sent
        body, sent = body + sent[:size], sent[size:]
        assert sent.startswith(b"\r\n")
        sent = sent[2:]
    raise AssertionError(sent[:40])


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8), st.integers(1, 64))
def test_a_body_is_framed_the_same_however_it_arrives(data: bytes, places: list[int], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(framing, "CHUNK", chunk)
        payload = Payload(cut(data, places), length=len(data))
        sent = b"".join(chain.from_iterable(frames(payload, payload)))
        assert len(sent) == framed_length(len(data))
    body, trailer = parse(sent)
    assert body == data
    assert trailer == b"x-amz-checksum-sha256:" + b64encode(sha256(data).digest()) + b"\r\n\r\n"


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_the_length_on_the_wire_is_known_beforehand(length: int) -> None:
    payload = Payload(iter((memoryview(bytes(length)),)), length=length)
    assert framed_length(length) == sum(map(len, chain.from_iterable(frames(payload, payload))))


def test_what_fits_in_one_buffer_is_sent_in_one_go() -> None:
    data = bytes(1000)
    payload = Payload(iter((memoryview(data),)), length=len(data))
    assert [list(map(len, parts)) for parts in frames(payload, payload)] == [[5, 1000, framed_length(1000) - 1005]]


def test_nothing_is_asked_for_after_the_end_was_sent() -> None:
    """A heartbeat that fails then could no longer say that nothing is stored."""

    def buffers() -> Iterator[memoryview]:
        yield memoryview(b"12345")
        raise AssertionError

    payload = Payload(buffers(), length=5)
    assert b"".join(chain.from_iterable(frames(payload, payload))).startswith(b"5\r\n12345\r\n0\r\n")


@given(st.binary(max_size=50), st.integers(0, 60))
def test_a_payload_that_is_not_as_long_as_announced_ends_in_an_error(data: bytes, length: int) -> None:
    payload = Payload(cut(data, [7, 20]), length=length)
    if length == len(data):
        assert b"".join(payload) == data
        assert payload.digest() == sha256(data).digest()
    else:
        with pytest.raises(errors.SourceTruncated):
            payload.drain()


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_parts_are_the_payload_in_order(data: bytes, places: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multipart, "PART", 16)
        parts = [bytes(part) for part in parts_of(Payload(cut(data, places)))]
    assert b"".join(parts) == data
    assert all(len(part) == 16 for part in parts[:-1])
    assert parts


def test_every_part_is_a_buffer_that_boto3_sends_as_it_is_the_last_one_too() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multipart, "PART", 16)
        parts = list(parts_of(Payload(cut(bytes(40), []))))[1:]
    assert [len(part) for part in parts] == [16, 8]
    assert {type(part) for part in parts} == {bytearray}


def test_ten_thousand_parts_are_always_enough() -> None:
    for length in (1, PART * MOST_PARTS, PART * MOST_PARTS + 1, 5 * 1024**4):
        assert part_size(1, length) * MOST_PARTS >= length
    assert sum(part_size(number, None) for number in range(1, MOST_PARTS + 1)) >= 5 * 1024**4
    assert part_size(1, None) == part_size(1, 1) == PART


def test_the_checksum_of_an_object_in_parts_is_that_of_their_checksums() -> None:
    one, two = (sha256(part).digest() for part in (b"one", b"two"))
    expected = b64encode(sha256(one + two).digest()).decode() + "-2"
    assert composite([b64encode(one).decode(), b64encode(two).decode()]) == expected

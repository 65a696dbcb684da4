"""A provider that means harm: heads, frames and bodies without end, lengths that lie, and drips. Each ends soon, in
little memory, with the right code, and stores nothing."""

import gzip
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_network
from itertools import chain, repeat
from time import monotonic
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.s3_server import gone
from tests.pipeline.speaker import Script, speaking
from workers import errors
from workers.copy import Limits, copy
from workers.demo.recordings import wav
from workers.sources import Fetcher, Request, resolve
from workers.sources.dial import Dialer
from workers.store import Store
from workers.uploads import Upload, object_key
from workers.wire import Wire

LOOPBACK = ip_network("127.0.0.0/8")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
MIB = 1024 * 1024
WAV = wav(1, 50_000)
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 1000\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(max_bytes=3 * MIB, deadline_s=20)
BOMB = gzip.compress(WAV + bytes(20 * MIB))
A_CHUNK = b"%x\r\n%s\r\n" % (len(WAV), WAV)

Copy = Callable[..., None]


def endlessly(begin: bytes, again: bytes) -> Script:
    return lambda: chain([begin], repeat(again))


def many(begin: bytes, count: int, each: bytes) -> Script:
    return lambda: chain([begin], repeat(each, count))


@pytest.fixture
def run(fetcher: Fetcher, store: Store, upload: Callable[..., Upload]) -> Copy:
    """Copies from there, and looks whether anything was stored."""

    def run(url: str, *, limits: Limits = LIMITS, through: Fetcher = fetcher) -> None:
        asked = upload(url)
        try:
            copy(asked, resolve(asked, None), fetcher=through, store=store, limits=limits, heartbeat=lambda: None)
        finally:
            assert gone(store, object_key(asked, "wav"))

    return run


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # Heads
        (endlessly(b"HTTP/1.1 200 ", b"y" * 65_536), errors.SourceError),
        (endlessly(OK + b"X: ", b"y" * 65_536), errors.SourceError),
        (endlessly(OK, b"X: y\r\n" * 1000), errors.SourceError),
        (many(OK, 90, b"X: " + b"y" * 60_000 + b"\r\n"), errors.SourceError),
        (endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), errors.SourceError),
        (endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000), errors.SourceError),
        (endlessly(b"", b"\x00" * 65_536), errors.SourceError),
        # Frames
        (endlessly(CHUNKED, b"0" * 65_536), errors.SourceError),
        (endlessly(CHUNKED + b"1;", b"x" * 65_536), errors.SourceError),
        (endlessly(CHUNKED, b"1;" + b"x" * 4000 + b"\r\nR\r\n"), errors.SourceError),
        (endlessly(CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), errors.SourceError),
        (many(CHUNKED + b"0\r\n", 1, b"X: y\r\n" * 65), errors.SourceError),
        *(
            (many(CHUNKED, 1, size + b"\r\n" + WAV), errors.SourceError)
            for size in (b"-5", b"+5", b"0x5", b"1_0", b"", b" 5", b"5 5", b"f" * 16, b"9" * 4000, b"\xb2")
        ),
        (many(CHUNKED, 1, A_CHUNK + b"no end of a chunk\r\n"), errors.SourceError),
        (many(CHUNKED, 1, A_CHUNK), errors.SourceTruncated),
        (many(CHUNKED, 1, A_CHUNK + b"0\r\nX: y\r\n"), errors.SourceTruncated),
        # Lengths
        *(
            (many(OK, 1, b"Content-Length: " + length + b"\r\n\r\n" + WAV), errors.SourceError)
            for length in (b"", b"-1", b"+5", b"1_0", b"0x10", b"5, 5", b"5 5", b"9" * 5000, b"1e3", b"\xb2")
        ),
        (many(OK, 1, b"Content-Length: 5\r\nContent-Length: 50000\r\n\r\n" + WAV), errors.SourceError),
        (many(OK, 1, b"Content-Length: 50000\r\nTransfer-Encoding: gzip\r\n\r\n" + WAV), errors.SourceError),
        (many(OK, 1, b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n" + A_CHUNK), errors.SourceError),
        (many(OK, 1, b"Transfer-Encoding: chunked, chunked\r\n\r\n" + A_CHUNK), errors.SourceError),
        (many(OK, 1, b"Transfer-Encoding: identity\r\n\r\n" + WAV), errors.SourceError),
        (many(OK, 1, b"Content-Length: 50001\r\n\r\n" + WAV), errors.SourceTruncated),
        (many(OK, 1, b"Content-Length: 999999999999999\r\n\r\n" + WAV), errors.TooLarge),
        # Bodies
        (endlessly(OK + b"\r\n" + WAV, bytes(65_536)), errors.TooLarge),
        (endlessly(CHUNKED + A_CHUNK, b"10000\r\n" + bytes(65_536) + b"\r\n"), errors.TooLarge),
        (
            many(OK, 1, b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
            errors.NotAudio,
        ),
        (many(OK, 1, b"Content-Encoding: br\r\n\r\n\x8b" + bytes(5000)), errors.NotAudio),
    ],
)
def test_it_ends_soon_in_little_memory_with_the_right_code_and_nothing_is_stored(
    run: Copy, script: Script, expected: type[errors.AttemptError]
) -> None:
    with speaking(script) as speaker:
        tracemalloc.start()
        began = monotonic()
        with pytest.raises(errors.AttemptError) as caught:
            run(speaker.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert type(caught.value) is expected
    assert monotonic() - began < 15
    assert peak < 16 * MIB, "a buffer of one MiB, a part of a multipart upload, the speaker's own"


def test_a_bomb_is_not_unpacked(fetcher: Fetcher) -> None:
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
    with speaking(head + BOMB) as speaker, fetcher.open(Request(speaker.url)) as body:
        view = memoryview(bytearray(MIB))
        assert body.readinto(view) == len(BOMB)
        assert bytes(view[: len(BOMB)]) == BOMB


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 ", b"y"),
        (OK + b"X: ", b"y"),
        (b"HTTP/1.1 100 Continue\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 9999\r\nLocation: /b\r\n\r\n", b"x"),
        (CHUNKED, b"0"),
        (CHUNKED + A_CHUNK[:-2] + b"\r\n1;", b"x"),
        (CHUNKED + A_CHUNK + b"0\r\n", b"X"),
    ],
)
def test_what_drips_in_is_not_waited_for(run: Copy, impatient: Fetcher, begin: bytes, drip: bytes) -> None:
    """A byte a tenth of a second is never silence; the whole is bounded all the same."""
    began = monotonic()
    with speaking(endlessly(begin, drip), pause_s=0.1) as speaker, pytest.raises(errors.AttemptError) as caught:
        run(speaker.url, through=impatient)
    assert caught.value.code in {"source_timeout", "source_error", "source_unreachable"}
    assert monotonic() - began < 10


@pytest.mark.parametrize("framing", [b"\r\n", b"Content-Length: 90000\r\n\r\n"])
def test_a_body_that_drips_ends_with_the_transfer_s_deadline(run: Copy, framing: bytes) -> None:
    began = monotonic()
    with speaking(endlessly(OK + framing + WAV[:5000], b"x"), pause_s=0.1) as speaker:
        with pytest.raises(errors.SourceTimeout):
            run(speaker.url, limits=Limits(max_bytes=MIB, deadline_s=1.0))
    assert monotonic() - began < 10


def test_silence_after_a_long_drip_is_not_added_to_it(run: Copy) -> None:
    """The lease is running: the last read waits for what is left of the whole, not for another read timeout."""
    with Fetcher([LOOPBACK], connect_timeout_s=0.5, read_timeout_s=8.0) as fetcher:
        fetcher._open_within_s = 1.0
        began = monotonic()
        with speaking(SIZED, holds=True) as speaker, pytest.raises(errors.SourceTimeout):
            run(speaker.url, through=fetcher)
        assert monotonic() - began < 6


# What is left over ---------------------------------------------------------------------------------------------------


def test_interim_answers_are_not_the_answer(fetcher: Fetcher) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    with speaking(interim + OK + b"Content-Length: 50000\r\n\r\n" + WAV) as speaker:
        with fetcher.open(Request(speaker.url)) as body:
            assert body.length == 50_000


@pytest.mark.parametrize(
    "first",
    [
        OK + b"Content-Length: 4\r\n\r\nRIFF",
        CHUNKED + b"4\r\nRIFF\r\n0\r\n\r\n",
        OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nRIFF\r\n0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Length: 900\r\n\r\nno",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["sized", "chunked", "both", "refused", "two lengths", "switched", "redirected"],
)
def test_what_comes_after_an_answer_is_never_the_next_answer(fetcher: Fetcher, first: bytes) -> None:
    """A split response would hand the next recording of this host, perhaps another organisation's, what it holds."""
    poison = OK + b"Content-Length: 12\r\n\r\nRIFF-POISON-"

    def ask(url: str) -> bytes:
        view = memoryview(bytearray(100))
        with suppress(errors.AttemptError), fetcher.open(Request(url)) as body:
            return bytes(view[: body.readinto(view)])
        return b""

    with speaking(first + poison, holds=True) as speaker:
        answers = [ask(speaker.url) for _ in range(3)]
        assert not any(b"POISON" in answer for answer in answers)
        assert speaker.connections >= 3


PIECES = [
    OK,
    SIZED,
    CHUNKED,
    b"\r\n",
    b"5\r\nRIFF.\r\n",
    b"RIFF",
    b"0\r\n\r\n",
    b"-1\r\n",
    b"X: y\r\n",
    b'ETag: "\xff"\r\n',
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=8).map(b"".join))
@settings(max_examples=200, deadline=None)
def test_whatever_is_said_only_our_own_errors_come_of_it(said: bytes) -> None:
    near, far = socket.socketpair()
    view = memoryview(bytearray(1000))
    with near, far, Fetcher([LOOPBACK], tls=NO_TLS) as fetcher, patch.object(Dialer, "dial", lambda *_: Wire(near)):
        near.settimeout(5)
        far.sendall(said)
        far.shutdown(socket.SHUT_WR)
        with suppress(errors.AttemptError), fetcher.open(Request("http://127.0.0.1/a")) as body:
            while body.readinto(view):
                pass

"""A connection's waits, in clear and over TLS: each is bounded, however little comes of it and however often."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from tests.pipeline.certificates import certificate
from tests.waiting import until
from workers.wire import Buffer, Wire

PATIENCE_S = 0.4
#: More than the kernel keeps for a connection that nobody reads.
MUCH = bytes(64 * 1024 * 1024)


class Ends(NamedTuple):
    wire: Wire
    far: socket.socket


@pytest.fixture(params=["clear", "tls"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    if request.param == "tls":
        theirs, ours = certificate("store.example", tmp_path)
        found: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: found.append(theirs.wrap_socket(far, server_side=True)))
        accepting.start()
        near = ours.wrap_socket(near, server_hostname="store.example")
        accepting.join()
        far = found[0]
    near.settimeout(PATIENCE_S)
    wire = Wire(near)
    with far:
        yield Ends(wire, far)
        wire.close()


def read_all(far: socket.socket, into: bytearray, *, pause: threading.Event | None = None) -> threading.Thread:
    def read() -> None:
        with suppress(OSError):
            while data := far.recv(65_536):
                into.extend(data)
                if pause is not None and pause.wait(0.05):
                    return

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_everything_arrives_in_turn_whatever_the_socket_takes_at_once(ends: Ends) -> None:
    got = bytearray()
    thread = read_all(ends.far, got)
    parts: list[Buffer] = [b"head", bytearray(b"x" * 3_000_000), memoryview(b"y" * 3_000_000), b"", b"end"]
    ends.wire.send(*parts)
    until(lambda: len(got) >= 6_000_007)
    ends.wire.close()
    thread.join()
    assert got == b"".join(parts)


def test_who_stops_reading_is_not_waited_for(ends: Ends) -> None:
    began = monotonic()
    with pytest.raises(TimeoutError):
        ends.wire.send(b"head", MUCH)
    assert PATIENCE_S * 0.9 < monotonic() - began < 5


def test_who_reads_a_little_now_and_then_gains_no_time_by_it(ends: Ends) -> None:
    over, got = threading.Event(), bytearray()
    thread = read_all(ends.far, got, pause=over)
    began = monotonic()
    with pytest.raises(TimeoutError):
        ends.wire.send(b"head", MUCH)
    assert monotonic() - began < 5
    over.set()
    ends.wire.close()
    thread.join()


def test_silence_is_not_waited_for(ends: Ends) -> None:
    began = monotonic()
    with pytest.raises(TimeoutError):
        ends.wire.answer(within_s=30)
    assert PATIENCE_S * 0.9 < monotonic() - began < 5


def test_what_is_left_of_the_whole_bounds_the_last_wait(ends: Ends) -> None:
    began = monotonic()
    with pytest.raises(TimeoutError):
        ends.wire.answer(within_s=0.1)
    assert 0.09 < monotonic() - began < PATIENCE_S
    ends.far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert ends.wire.answer(within_s=5).status == 200, "and does not bound the next"
    assert ends.wire.reader.read(2) == b"ok"


def test_a_connection_is_quiet_until_something_more_comes(ends: Ends) -> None:
    ends.far.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    ends.wire.answer(within_s=5)
    assert not ends.wire.is_quiet()
    assert ends.wire.reader.read(2) == b"ok"
    assert ends.wire.is_quiet()
    for answer in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\nmore"):
        ends.far.sendall(answer)
        assert ends.wire.answer(within_s=5).status == 204
    assert not ends.wire.is_quiet()


def test_an_end_before_anything_is_no_answer(ends: Ends) -> None:
    ends.far.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        ends.wire.answer(within_s=5)

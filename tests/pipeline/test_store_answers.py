"""What the store says, as it comes over the wire: understood, or no answer at all."""

import socket

import pytest

from workers.put import Answer, _Broken, _read
from workers.wire import Wire

DENIED = b"<Error><Code>AccessDenied</Code>" + b"<Pad>" + b"x" * 20_000 + b"</Pad></Error>"


def heard(said: bytes) -> tuple[Answer, bool]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5.0)
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        return _read(Wire(ours), 5.0)


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5, 5",
        b"Content-Length: 5\r\nContent-Length: 6",
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"503 Slow Down"])
def test_an_answer_that_does_not_say_where_it_ends_is_none(framing: bytes, status: bytes) -> None:
    with pytest.raises(_Broken):
        heard(b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n\r\n0\r\n\r\n")


def test_a_long_refusal_means_the_same_in_chunks_and_in_one() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n" % len(DENIED) + DENIED
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(DENIED), DENIED)
    assert heard(whole) == heard(chunked) == (Answer(403, "AccessDenied", None), False)


def test_a_connection_is_kept_after_an_answer_that_was_read_to_its_end_and_said_one_thing() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert heard(b"HTTP/1.1 200 OK\r\n" + chunked)[1]
    assert not heard(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + chunked)[1]
    assert not heard(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + chunked)[1]

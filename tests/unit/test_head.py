"""Heads of answers, as http.client understands them where it can be trusted, and refused where it guesses."""

import io
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from time import process_time
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.head import MOST_HEADERS, Garbled, Head

OK = b"HTTP/1.1 200 OK\r\n"


class Said:
    """What http.client takes for a socket."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        return io.BufferedReader(cast("io.RawIOBase", io.BytesIO(self.said)))


NAMES = st.sampled_from(["Content-Type", "content-length", "ETag", "x-amz-checksum-sha256", "X_y!", "Connection"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]), st.integers(200, 599), st.lists(st.tuples(NAMES, VALUES), max_size=8)
)
def test_what_is_well_formed_means_what_it_means_to_http_client(
    version: bytes, status: int, headers: list[tuple[str, str]]
) -> None:
    lines = b"%s %d Yes\r\n" % (version, status)
    lines += b"".join(f"{name}: {value} \r\n".encode("latin-1") for name, value in headers)
    theirs = HTTPResponse(Said(lines + b"\r\n"))  # type: ignore[arg-type]
    theirs.begin()
    ours = Head.parse(lines)
    assert ours.status == theirs.status
    assert ours.headers == {name: [v.strip() for v in theirs.headers.get_all(name, [])] for name in ours.headers}
    assert set(ours.headers) == {name.lower() for name, _ in headers}


@pytest.mark.parametrize(
    ("lines", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: Close\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x\r\nConnection: close\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\n", False),
    ],
)
def test_it_is_known_whether_the_connection_goes_on(lines: bytes, *, closes: bool) -> None:
    assert Head.parse(lines).closes is closes


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"ICY 200 OK\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        OK + b"Content-Length : 5\r\n",
        OK + b": 5\r\n",
        OK + b"no colon\r\n",
        OK + b"X: a\rContent-Length: 5\r\n",
        OK + b"X: a\0\r\n",
        OK + b"X\xff: a\r\n",
        OK + b"X: y\r\n" * (MOST_HEADERS + 1),
    ],
)
def test_what_is_not_in_the_grammar_is_refused(lines: bytes) -> None:
    with pytest.raises(HTTPException):
        Head.parse(lines)


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: \xb2\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_length_that_cannot_be_told_is_never_guessed(headers: bytes) -> None:
    head = Head.parse(OK + headers)
    with pytest.raises(Garbled):
        head.length  # noqa: B018


def test_lines_may_end_without_a_return_and_be_folded() -> None:
    head = Head.parse(b'HTTP/1.1 200\nETag:\t"a" \r\nX: one\r\n  two\r\n')
    assert head.headers == {"etag": ['"a"'], "x": ["one two"]}


@pytest.mark.parametrize("fill", [b" ", b"\t", b"x", b": ", b"\r", b"\n ", b"a:\n"])
@pytest.mark.parametrize("end", [b"\0", b"\r\n", b""])
def test_no_head_takes_longer_than_it_is_long(fill: bytes, end: bytes) -> None:
    lines = OK + b"X: " + fill * (120_000 // len(fill)) + end
    began = process_time()
    for name in (lines, lines[len(OK) :], b"HTTP/1.1 200 " + lines):
        with suppress(HTTPException):
            Head.parse(name)
    assert process_time() - began < 1


@given(st.binary(max_size=200))
def test_whatever_comes_it_is_a_head_or_refused(said: bytes) -> None:
    with suppress(HTTPException):
        Head.parse(OK + said).length  # noqa: B018

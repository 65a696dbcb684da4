"""One kept-alive HTTP/1.1 connection, and a shelf for those that are idle: what both ends of the copy run on.

Below urllib3 on purpose: reading straight into the copy's own buffer halves the CPU of a small recording, and whoever
owns the socket can say which address it may be connected to. Headers are parsed by http.client. Nothing here retries,
redirects, decodes or reads the environment.
"""

import io
import select
import socket
import ssl
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from threading import Lock
from time import monotonic
from typing import Self, cast

Buffer = bytes | bytearray | memoryview
HEAD = 128 * 1024
"""Bytes that an answer may take to come to its body, interim answers included."""
_INTERIM = 8


class Wire:
    """A connected socket. Every wait is bounded: a single one by the socket's timeout, a sequence of short ones (a
    header sent a byte at a time) by ``expires_at``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience_s = sock.gettimeout()
        self._bounded: _Bounded | None = None
        self._reader: io.BufferedReader | None = None
        self._response: HTTPResponse | None = None
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self.expires_at = float("inf")

    def send(self, data: Buffer) -> None:
        self._sock.settimeout(self._patience_s)
        self._sock.sendall(data)

    def response(self, method: str, *, within_s: float) -> HTTPResponse:
        """The status line and headers of the answer; its body is to be read from ``.fp``, or by its own methods.
        Interim answers (100, 103) are passed over: taken for the answer, they would leave it to the next question.
        HTTPException if it is no HTTP, or larger than HEAD."""
        self.expires_at = monotonic() + within_s
        self._forget_reader()
        self._bounded = _Bounded(self, self._sock.makefile("rb", buffering=0))
        self._reader = io.BufferedReader(self._bounded)
        self._bounded.left = HEAD
        for _ in range(_INTERIM):
            self._response = response = HTTPResponse(cast("socket.socket", self), method=method)  # makefile, no more
            response.begin()
            if not 100 <= response.status < 200 or response.status == 101:
                self._bounded.left = None
                return response
            response.fp = None  # type: ignore[assignment]  # the reader goes on to the next
        raise HTTPException("interim answers without end")

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        assert self._reader is not None  # noqa: S101 - response() has made it
        return self._reader

    def wait_at_most(self, remaining_s: float) -> None:
        """A read waits no longer than its deadline, not just than the socket's own timeout."""
        patience_s = remaining_s if self._patience_s is None else min(self._patience_s, remaining_s)
        if patience_s < float("inf"):
            self._sock.settimeout(patience_s)

    def is_readable(self) -> bool:
        """Something has arrived: on an idle connection, that it was closed or is confused."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def is_quiet(self) -> bool:
        """Nothing has come beyond the answer that was read. What had would be taken for the next answer, which may be
        another organisation's. Ask before the response is closed."""
        if self._bounded is not None and self._reader is not None:
            self._bounded.is_shut = True
            if self._reader.closed or self._reader.peek(1):
                return False
        return not self.is_readable()

    def close(self) -> None:
        """At once and without a goodbye: what was announced and not sent counts as cut off at the other end."""
        with suppress(OSError):  # a response that is still open would keep the socket open with it
            self._sock.shutdown(socket.SHUT_RDWR)
        self._forget_reader()
        self._sock.close()

    def _forget_reader(self) -> None:
        """It holds the socket open: the other end would go on sending to nobody. The response must not know it any
        more: closing that one later would flush what is closed."""
        if self._response is not None:
            self._response.fp = None  # type: ignore[assignment]
        if self._reader is not None:
            self._reader.close()
        self._reader = self._bounded = self._response = None


class _Bounded(io.RawIOBase):
    """``left``: bytes that may still come, None for any number. ``is_shut``: only what is buffered is there."""

    def __init__(self, wire: Wire, raw: io.RawIOBase) -> None:
        self.left: int | None = None
        self.is_shut = False
        self._wire = wire
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        if self.is_shut:
            return None
        remaining_s = self._wire.expires_at - monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._wire.wait_at_most(remaining_s)
        if self.left is None:
            return self._raw.readinto(buffer)
        if self.left <= 0:
            raise HTTPException("a head without end")
        count = self._raw.readinto(buffer)
        self.left -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class Shelf:
    """Idle connections, the most recently used first. Bounded in number and age: providers are many, file descriptors
    are not. Safe to use from several threads."""

    def __init__(self, *, places: int = 64, max_idle_s: float = 30.0) -> None:
        self._idle: deque[tuple[Hashable, Wire, float]] = deque()
        self._places = places
        self._max_idle_s = max_idle_s
        self._lock = Lock()

    def put(self, key: Hashable, wire: Wire) -> None:
        with self._lock:
            self._idle.append((key, wire, monotonic()))
            surplus = self._idle.popleft()[1] if len(self._idle) > self._places else None
        if surplus is not None:
            surplus.close()

    def take(self, key: Hashable) -> Wire | None:
        """A connection that was still open a moment ago. It may yet turn out to be closed: the other end decides."""
        while (wire := self._pop(key)) is not None:
            if not wire.is_readable():
                return wire
            wire.close()
        return None

    def _pop(self, key: Hashable) -> Wire | None:
        with self._lock:
            self._drop_old()
            for index in range(len(self._idle) - 1, -1, -1):
                if self._idle[index][0] == key:
                    wire = self._idle[index][1]
                    del self._idle[index]
                    return wire
        return None

    def _drop_old(self) -> None:
        oldest = monotonic() - self._max_idle_s
        while self._idle and self._idle[0][2] < oldest:
            self._idle.popleft()[1].close()

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.popleft()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""One kept-alive HTTP/1.1 connection, and a shelf for those that are idle: what both ends of the copy run on.

Below urllib3 on purpose: reading straight into the copy's own buffer halves the CPU of a small recording, and whoever
owns the socket can say which address it may be connected to. Framing and headers are parsed by http.client (at most 100
headers of at most 64 KiB). Nothing here retries, redirects, decodes or reads the environment.
"""

import io
import select
import socket
import ssl
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from http.client import HTTPResponse
from threading import Lock
from time import monotonic
from typing import Self, cast

Buffer = bytes | bytearray | memoryview


class Wire:
    """A connected socket. Every wait is bounded: a single one by the socket's timeout, a sequence of short ones (a
    header sent a byte at a time) by ``expires_at``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self.expires_at = float("inf")

    def send(self, data: Buffer) -> None:
        self._sock.sendall(data)

    def response(self, method: str, *, within_s: float) -> HTTPResponse:
        """The status line and headers of the answer; its body is to be read from ``.fp``, or by its own methods."""
        self.expires_at = monotonic() + within_s
        response = HTTPResponse(cast("socket.socket", self), method=method)  # it calls makefile and nothing else
        response.begin()
        return response

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        return io.BufferedReader(_Bounded(self, self._sock.makefile("rb", buffering=0)))

    def is_readable(self) -> bool:
        """Something has arrived: on an idle connection, that it was closed or is confused."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """At once and without a goodbye: what was announced and not sent counts as cut off at the other end."""
        with suppress(OSError):  # a response that is still open would keep the socket open with it
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


class _Bounded(io.RawIOBase):
    def __init__(self, wire: Wire, raw: io.RawIOBase) -> None:
        self._wire = wire
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        if monotonic() > self._wire.expires_at:
            raise TimeoutError
        return self._raw.readinto(buffer)

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

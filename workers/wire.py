"""One kept-alive HTTP/1.1 connection, and a shelf for those that are idle: what both ends of the copy run on.

Below urllib3 on purpose: reading straight into the copy's own buffer halves the CPU of a small recording, and whoever
owns the socket can say which address it may be connected to. Nothing here retries, redirects, decodes or reads the
environment.
"""

import io
import select
import socket
import ssl
import struct
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from http.client import HTTPException
from threading import Lock
from time import monotonic
from typing import Self

from workers.head import Head

Buffer = bytes | bytearray | memoryview
HEAD = 128 * 1024
"""Bytes that an answer may take to come to its body, interim answers included."""
_INTERIM = 8
_LONGEST_LINE = 65_536


class Wire:
    """A connected socket. Every wait is bounded: a single one by the socket's timeout, a sequence of short ones (a
    header sent a byte at a time) by ``expires_at``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience_s = sock.gettimeout() or float("inf")
        self._waits_s = self._patience_s
        self._poll: select.poll | None = None
        self.is_tls = isinstance(sock, ssl.SSLSocket)
        self.expires_at = float("inf")
        self._incoming = _Incoming(self)
        self.reader = io.BufferedReader(self._incoming)
        """What has come, from where the head ended."""
        if not self.is_tls:
            # The kernel keeps the time: else each call is three, and each of those waits for the interpreter's turn.
            sock.settimeout(None)
            self._tell_kernel()

    def send(self, *parts: Buffer) -> None:
        """All of it, in one call where it fits, within the socket's timeout."""
        until = monotonic() + self._patience_s
        self._wait_at_most(self._patience_s)
        if self.is_tls:
            for part in parts:
                self._sock.sendall(part)
            return
        left = [memoryview(part) for part in parts]
        while left := _unsent(left, self._send(left)):
            if (remaining_s := until - monotonic()) <= 0:
                raise TimeoutError
            self._wait_at_most(remaining_s)

    def _send(self, parts: list[memoryview]) -> int:
        try:
            return self._sock.sendmsg(parts)
        except BlockingIOError as error:
            raise TimeoutError from error

    def receive(self, buffer: memoryview) -> int:
        """What one read of the socket gives; 0 at its end."""
        remaining_s = self.expires_at - monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._wait_at_most(remaining_s)
        try:
            return self._sock.recv_into(buffer)
        except BlockingIOError as error:
            raise TimeoutError from error

    def answer(self, *, within_s: float) -> Head:
        """The status line and headers of the answer; its body is to be read from ``reader``. Interim answers (100, 103)
        are passed over: taken for the answer, they would leave it to the next question. HTTPException if it is no HTTP,
        or larger than HEAD; ConnectionError if there is none."""
        self.expires_at = monotonic() + within_s
        self._incoming.is_shut = False
        self._incoming.left = HEAD
        for _ in range(_INTERIM):
            head = Head.parse(self._lines())
            if not head.is_interim:
                self._incoming.left = None
                return head
        raise HTTPException("interim answers without end")

    def _lines(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.reader.readline(_LONGEST_LINE)) not in (b"\r\n", b"\n"):
            if not line and not lines:
                raise ConnectionResetError
            if not line.endswith(b"\n") or not (lines or line.startswith(b"HTTP/")):
                raise HTTPException("no head, or cut short, or a line without end")
            lines.append(line)
        return b"".join(lines)

    def _wait_at_most(self, within_s: float) -> None:
        """No longer than the socket's own timeout, or what is left of the whole. Not told again for a hundredth."""
        within_s = min(within_s, self._patience_s)
        if abs(within_s - self._waits_s) <= within_s / 100 or within_s == float("inf"):
            return
        self._waits_s = within_s
        if self.is_tls:
            self._sock.settimeout(within_s)
        else:
            self._tell_kernel()

    def _tell_kernel(self) -> None:
        if self._waits_s < float("inf"):
            seconds, rest = divmod(max(self._waits_s, 0.001), 1)
            timeval = struct.pack("@ll", int(seconds), int(rest * 1e6))
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._sock.setsockopt(socket.SOL_SOCKET, option, timeval)

    def is_readable(self) -> bool:
        """Something has arrived: on an idle connection, that it was closed or is confused."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)
        return bool(self._poll.poll(0))

    @property
    def is_drained(self) -> bool:
        """Nothing was read beyond the answer."""
        self._incoming.is_shut = True
        return not self.reader.peek(1)

    def is_quiet(self) -> bool:
        """Nothing has come beyond the answer that was read. What had would be taken for the next answer, which may be
        another organisation's."""
        return self.is_drained and not self.is_readable()

    def close(self) -> None:
        """At once and without a goodbye: what was announced and not sent counts as cut off at the other end."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def _unsent(parts: list[memoryview], count: int) -> list[memoryview]:
    for index, part in enumerate(parts):
        if count < len(part):
            return [part[count:], *parts[index + 1 :]]
        count -= len(part)
    return []


class _Incoming(io.RawIOBase):
    """``left``: bytes that may still come, None for any number. ``is_shut``: only what is buffered is there."""

    def __init__(self, wire: Wire) -> None:
        self.left: int | None = None
        self.is_shut = False
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        if self.is_shut:
            return None
        if self.left is None:
            return self._wire.receive(buffer)
        if self.left <= 0:
            raise HTTPException("a head without end")
        count = self._wire.receive(buffer)
        self.left -= count
        return count


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

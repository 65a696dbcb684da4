"""An event loop for two tiny HTTP servers. One process, one thread: a thread for each connection would cost them more
than the work, and this machine is shared with what is measured."""

import heapq
import selectors
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress

#: A connection is a generator: it yields what it waits for, and is resumed when that has come.
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Wait = int | float
"""READ or WRITE (ints), or seconds to let pass (a float)."""
Talk = Callable[[socket.socket], Generator[Wait]]


class Loop:
    """``serve`` runs until the process is told to stop."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.selector = selectors.DefaultSelector()
        self.later: list[tuple[float, int, socket.socket, Generator[Wait]]] = []

    def serve(self, host: str, port: int) -> None:
        listener = socket.create_server((host, port), backlog=1024)
        listener.setblocking(False)
        self.selector.register(listener, READ, None)
        while True:
            until_s = self.later[0][0] - time.monotonic() if self.later else None
            for key, _ in self.selector.select(until_s):
                if key.data is None:
                    self.accept(listener)
                else:
                    self.resume(key.fileobj, key.data)  # type: ignore[arg-type]
            self.wake()

    def wake(self) -> None:
        while self.later and self.later[0][0] <= time.monotonic():
            _, _, connection, talk = heapq.heappop(self.later)
            self.resume(connection, talk)

    def accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.resume(connection, self.talk(connection))

    def resume(self, connection: socket.socket, talk: Generator[Wait]) -> None:
        """Go on to the next wait. A connection that ends, or breaks, is closed; others do not notice."""
        try:
            wait = next(talk)
        except (StopIteration, OSError):
            self.forget(connection)
            connection.close()
            return
        if isinstance(wait, float):
            self.forget(connection)
            heapq.heappush(self.later, (time.monotonic() + wait, connection.fileno(), connection, talk))
        else:
            self.watch(connection, wait, talk)

    def watch(self, connection: socket.socket, events: int, talk: Generator[Wait]) -> None:
        known = self.selector.get_map().get(connection)
        if known is None:
            self.selector.register(connection, events, talk)
        elif known.events != events:
            self.selector.modify(connection, events, talk)

    def forget(self, connection: socket.socket) -> None:
        if connection in self.selector.get_map():
            self.selector.unregister(connection)


def received(connection: socket.socket, size: int = 65536) -> Generator[Wait, None, bytes]:
    """Some bytes; none at the connection's end."""
    while True:
        try:
            return connection.recv(size)
        except BlockingIOError:
            yield READ


def sent(connection: socket.socket, data: bytes) -> Generator[Wait]:
    """All of it."""
    view = memoryview(data)
    while view:
        try:
            view = view[connection.send(view) :]
        except BlockingIOError:
            yield WRITE


def head(connection: socket.socket, begun: bytes) -> Generator[Wait, None, tuple[bytes, bytes] | None]:
    """A request's head, and what came after it; None when the other end is done."""
    found = begun
    while (end := found.find(b"\r\n\r\n")) < 0:
        more = yield from received(connection)
        if not more:
            return None
        found += more
    return found[:end], found[end + 4 :]


def header(lines: bytes, name: bytes) -> bytes:
    """A header's value by its lower-case name; empty if there is none."""
    lowered = lines.lower()
    at = lowered.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    end = lines.find(b"\r\n", start)
    return lines[start : end if end >= 0 else None].strip()


def main(talk: Talk, port: str) -> None:
    """Serve on loopback. The parent's end is ours (embedded/launch.py)."""
    with suppress(KeyboardInterrupt):
        Loop(talk).serve("127.0.0.1", int(port))
    sys.exit(0)

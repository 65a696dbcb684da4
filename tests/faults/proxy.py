"""A TCP relay on loopback whose owner can break it, between one of our processes and a server.

    with FaultProxy(s3_port) as proxy:       # give the process http://127.0.0.1:{proxy.port}
        proxy.refuse(503, "SlowDown")        # the store answers so, and nothing reaches it
        proxy.stall() ; proxy.cut() ; proxy.cut_after(100_000) ; proxy.heal()

A change of fault holds for connections that are open as well. Signatures of S3 survive it: it passes bytes on unread.
"""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_CHUNK = 64 * 1024
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _Lost:
    """Cut the connection on which ``said`` is sent: before it is passed on, or once the server has answered."""

    said: bytes
    answered: bytes | None


@dataclass(eq=False, slots=True)
class _Connection:
    client: socket.socket
    server: socket.socket
    sent_bytes: int = 0
    said: bytes = b""
    loses: _Lost | None = None
    is_open: bool = True

    def abort(self) -> None:
        """Both ends learn it at once: a reset, as when a host goes away and comes back."""
        self.is_open = False
        for end in (self.client, self.server):
            _reset(end)


class FaultProxy:
    """Relays to ``127.0.0.1:port`` until told otherwise. Listens as soon as it exists; closes all with the ``with``."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._changed = threading.Condition()
        self._mode = "relay"
        self._answer = b""
        self._limit: int | None = None
        self._lost: _Lost | None = None
        self._connections: set[_Connection] = set()
        self.accepted = 0
        self.refused = 0
        #: Directions of connections that have something to pass on and may not, because of ``stall``.
        self.holding = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        _start(self._accept)

    def heal(self) -> None:
        self._become("relay")

    def cut(self) -> None:
        """Reset what is open, and every new connection at once."""
        self._become("cut")

    def stall(self) -> None:
        """Accept and say nothing; what was on its way arrives after ``heal``."""
        self._become("stall")

    def refuse(self, status: int, code: str) -> None:
        """Answer every request so, as S3 does: 503 SlowDown, 500 InternalError, 403 AccessDenied, 404 NoSuchBucket."""
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'.encode()
        head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        self._answer = f"{head}Connection: close\r\n\r\n".encode() + body
        self._become("refuse")

    def cut_after(self, sent_bytes: int) -> None:
        """Reset every connection once its client has sent so much: half-written objects and parts."""
        self._become("relay", limit=sent_bytes)

    def lose_request(self, said: bytes) -> None:
        """Once: the connection on which the client says this is reset, and the server never hears it."""
        self._become("relay", lost=_Lost(said, None))

    def lose_answer(self, said: bytes, answered: bytes = b"") -> None:
        """Once: the server hears it and answers (``answered`` is in it), and the client is cut off before it hears."""
        self._become("relay", lost=_Lost(said, answered))

    @property
    def has_lost(self) -> bool:
        """Whether what ``lose_request`` or ``lose_answer`` asked for has happened."""
        return self._lost is None

    def _become(self, mode: str, *, limit: int | None = None, lost: _Lost | None = None) -> None:
        with self._changed:
            self._mode, self._limit, self._lost = mode, limit, lost
            doomed = tuple(self._connections) if mode in {"cut", "refuse", "closed"} else ()
            self._changed.notify_all()
        for connection in doomed:
            connection.abort()

    def close(self) -> None:
        self._become("closed")
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        if self._mode == "refuse":
            self._say_no(client)
        elif self._mode in {"cut", "closed"}:
            _reset(client)
        else:
            self._relay(client)

    def _say_no(self, client: socket.socket) -> None:
        """One answer a connection. The request is read to its end, or the reset of a full buffer would eat it."""
        self.refused += 1
        with suppress(OSError), client:
            client.settimeout(5)
            seen = b""
            while _HEAD_END not in seen and (data := client.recv(_CHUNK)):
                seen = seen[-3:] + data
            client.sendall(self._answer)
            client.shutdown(socket.SHUT_WR)
            while client.recv(_CHUNK):
                pass

    def _relay(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(client, server)
        with self._changed:
            self._connections.add(connection)
        back = _start(self._pump, connection, server, client, self._hears)
        self._pump(connection, client, server, self._says)
        back.join()
        with self._changed:
            self._connections.discard(connection)
        client.close()
        server.close()

    def _pump(
        self, on: _Connection, source: socket.socket, sink: socket.socket, allows: Callable[[_Connection, bytes], bool]
    ) -> None:
        try:
            while data := source.recv(_CHUNK):
                with self._changed:
                    self.holding += 1
                    self._changed.wait_for(lambda: self._mode != "stall" or not on.is_open)
                    self.holding -= 1
                    allowed = on.is_open and self._mode in {"relay", "stall"} and allows(on, data)
                if not allowed:
                    on.abort()
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # a server that was killed resets: its client must hear of that, or it would wait for ever
            on.abort()

    def _says(self, on: _Connection, data: bytes) -> bool:
        on.sent_bytes += len(data)
        if self._limit is not None and on.sent_bytes > self._limit:
            return False
        if self._lost is None or self._lost.said not in on.said + data:
            on.said = data[-64:]
            return True
        on.loses, self._lost = self._lost, None
        return on.loses.answered is not None

    def _hears(self, on: _Connection, data: bytes) -> bool:
        return on.loses is None or on.loses.answered is None or on.loses.answered not in data


def _start(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True, name="fault-proxy")
    thread.start()
    return thread


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        end.close()

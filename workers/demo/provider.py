"""A voice provider on loopback that misbehaves on purpose: for the demo and the tests.

    with Provider() as provider:
        url = provider.add("/Recordings/RE1", Recording(seed=1, size=200_000), not_ready(times=2))

Every request is logged, with the headers it carried and the bytes it was sent.
"""

import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Self

from workers.demo.behaviours import Answer, Behaviour
from workers.demo.recordings import Recording

__all__ = ["Asked", "Provider"]


@dataclass(slots=True)
class Asked:
    """One request as the provider saw it; header names are lower-cased."""

    path: str
    headers: dict[str, str]
    connection: int
    sent_bytes: int = 0


class Provider:
    """Listens on 127.0.0.1, a port of the system's choosing, as soon as it exists; stops with the ``with``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.log: list[Asked] = []
        self._routes: dict[str, tuple[bytes | Recording, tuple[Behaviour, ...]]] = {}
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="provider", daemon=True)
        self._thread.start()

    def add(self, path: str, body: bytes | Recording, *behaviours: Behaviour) -> str:
        """Serve ``body`` at ``path`` from now on, in this manner; returns its URL."""
        self._routes[path] = (body, behaviours)
        return self.url + path

    def asked(self, path: str) -> list[Asked]:
        return [asked for asked in self.log if asked.path == path]

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        body, behaviours = self._routes.get(path, (b"", ()))
        answer = Answer(body, headers={"Content-Type": "audio/x-wav"})
        if path not in self._routes:
            answer.fail(404, b"no such recording", "text/plain")
        for behave in behaviours:
            behave(headers, answer)
        return answer

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    provider: Provider

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves in the middle is nothing to report here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.path, headers, id(self.connection))
        self.server.provider.log.append(asked)
        answer = self.server.provider.answer(self.path, headers)
        if answer.hangs:
            self.server.provider.closing.wait()
            self.close_connection = True
            return
        self._send_head(answer)
        self._send_body(answer, asked)

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = dict(answer.headers)
        if answer.ends_with_connection:
            headers["Connection"] = "close"
        elif answer.is_chunked:
            headers.setdefault("Transfer-Encoding", "chunked")
        else:
            headers.setdefault("Content-Length", str(len(answer.body) - answer.start))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, answer: Answer, asked: Asked) -> None:
        position, began = answer.start, monotonic()
        for block in answer.blocks():
            for piece in _paced(block, answer):
                allowed = piece if answer.cut_at is None else piece[: max(answer.cut_at - position, 0)]
                self._send_piece(allowed, answer)
                position += len(allowed)
                asked.sent_bytes += len(allowed)
                if len(allowed) < len(piece):
                    self._cut()
                    return
                if answer.bytes_per_s is not None:
                    self.wfile.flush()
                    due = began + (position - answer.start) / answer.bytes_per_s
                    if self.server.provider.closing.wait(max(due - monotonic(), 0)):
                        return
        if answer.is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _send_piece(self, piece: bytes, answer: Answer) -> None:
        if answer.is_chunked and piece:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            self.wfile.write(piece)

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The log is a list, not a stream."""


def _paced(block: bytes, answer: Answer) -> list[bytes]:
    """A slow body goes out ten times a second."""
    if answer.bytes_per_s is None:
        return [block]
    step = max(int(answer.bytes_per_s / 10), 1)
    return [block[start : start + step] for start in range(0, len(block), step)]

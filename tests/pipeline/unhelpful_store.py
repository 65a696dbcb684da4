"""An S3 that answers as told: for what the real one only does in production."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workers.store import Store


@dataclass
class Script:
    """``status`` and S3 ``code`` for every PUT and POST; ``answers_early`` without reading the body first;
    ``stored`` are the headers of the object that a HEAD finds."""

    status: int = 200
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answers_early: bool = False
    says_nothing: bool = False
    stored: dict[str, str] | None = None
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_PUT(self) -> None:
        script = self.script
        script.seen.append(
            (f"{self.command} {self.path}", {name.lower(): value for name, value in self.headers.items()})
        )
        if not script.answers_early:
            script.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.close_connection = script.answers_early or script.says_nothing
        if script.says_nothing:
            return
        self.answer(f"<Error><Code>{script.code}</Code></Error>".encode() if script.code else b"")

    def do_POST(self) -> None:
        self.do_PUT()

    def do_DELETE(self) -> None:
        self.do_PUT()

    def do_HEAD(self) -> None:
        self.script.seen.append((f"{self.command} {self.path}", {}))
        self.send_response(404 if self.script.stored is None else 200)
        for name, value in (self.script.stored or {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, body: bytes) -> None:
        self.send_response(self.script.status)
        for name, value in {**self.script.headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def unhelpful_store(script: Script, *, sse: str | None = None, timeout_s: float = 5.0) -> Iterator[Store]:
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AK")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
        patch.setenv("AWS_SESSION_TOKEN", "a-session-token")
        url = f"http://127.0.0.1:{server.server_address[1]}"
        store = Store(bucket="recordings", endpoint_url=url, sse=sse, timeout_s=timeout_s)
    try:
        with store:
            yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

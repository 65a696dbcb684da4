"""A server that says whatever it is told to, HTTP or not, to everybody who connects."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[], Iterator[bytes]]


@dataclass
class Speaker:
    """``script`` is said from its beginning on each connection; with ``pause_s`` between its pieces. Afterwards the
    connection is closed, or held in silence."""

    script: Script
    pause_s: float = 0.0
    holds: bool = False
    tls: ssl.SSLContext | None = None
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/a.wav"

    def answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(30)
            connection.recv(65_536)
            for piece in self.script():
                connection.sendall(piece)
                if self.over.wait(self.pause_s):
                    return
            if self.holds:
                self.over.wait()


@contextmanager
def speaking(script: Script | bytes, *, pause_s: float = 0.0, holds: bool = False) -> Iterator[Speaker]:
    """The speaker, listening on loopback until the end of the ``with``."""
    said: Script = (lambda: iter([script])) if isinstance(script, bytes) else script
    speaker = Speaker(said, pause_s, holds)
    with socket.create_server(("127.0.0.1", 0)) as server:
        speaker.port = server.getsockname()[1]
        server.settimeout(0.05)
        threads: list[threading.Thread] = []

        def serve() -> None:
            while not speaker.over.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    speaker.connections += 1
                    threads.append(threading.Thread(target=speaker.answer, args=(connection,)))
                    threads[-1].start()

        listener = threading.Thread(target=serve)
        listener.start()
        try:
            yield speaker
        finally:
            speaker.over.set()
            listener.join()
            for thread in threads:
                thread.join()

"""TLS in front of a server that has none: the wheel's Valkey is built without."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from tests.pipeline.certificates import certificate


@contextmanager
def encrypted(directory: Path, port: int) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS as ``localhost`` for the one behind it, and the file of the authority to trust."""
    context, _ = certificate("localhost", directory)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_serve, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1], directory / "localhost.pem"
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            raw, _ = listener.accept()
            Thread(target=_tunnel, args=(raw, context, port), daemon=True).start()


def _tunnel(raw: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError), context.wrap_socket(raw, server_side=True) as front:
        with socket.create_connection(("127.0.0.1", port)) as back:
            answers = Thread(target=_pump, args=(back, front), daemon=True)
            answers.start()
            _pump(front, back)
            answers.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

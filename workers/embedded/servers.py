"""The three servers together: what the stack, the demo and the tests stand on."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from workers.embedded import ports
from workers.embedded.bucket import Access
from workers.embedded.errors import PortTaken, StartFailed, UnsupportedSystem
from workers.embedded.postgres import Postgres
from workers.embedded.process import Process, started_at
from workers.embedded.ready import Server, wait_ready
from workers.embedded.seaweedfs import PORTS as S3_PORTS
from workers.embedded.seaweedfs import SeaweedFS
from workers.embedded.state import SUPERVISOR, Seen, State, load, lock, prepare
from workers.embedded.valkey import Valkey

TRIES = 3
RESTART_EVERY_S = 0.5
BUCKET = "recordings"
PORTS = ("postgres", "valkey", "flower", *S3_PORTS)


class Servers:
    """PostgreSQL, Valkey and SeaweedFS over one folder that keeps their data, ports and secrets from run to run.

    ``with Servers(path) as servers``: ready on entry (1 to 2 s new, under 1 s again), stopped on exit, and stopped by
    the kernel if this process is killed. From the main thread only. A folder in use raises AlreadyRunning.
    """

    def __init__(self, state_dir: Path, *, tell: Callable[[str], None] = lambda _: None) -> None:
        if sys.platform not in ("linux", "darwin"):
            raise UnsupportedSystem
        self.directory = prepare(state_dir)
        self.held = lock(self.directory)
        self.state = load(self.directory)
        self.hear = tell
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            os.close(self.held)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.close(self.held)

    @property
    def admin_url(self) -> str:
        return self.postgres.admin_url

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    @property
    def s3(self) -> Access:
        """The administrator's access; the workers' is ``worker_s3``."""
        return access(self.state, "admin")

    @property
    def worker_s3(self) -> Access:
        return access(self.state, "worker")

    def start(self) -> None:
        """Between our look at a port and the server's bind it may be lost to somebody else: then all start again on
        new ports."""
        reap(self.state)
        self.state.processes = {SUPERVISOR: Seen(os.getpid(), started_at(os.getpid()))}
        self.state.ready.clear()
        for attempt in range(1, TRIES + 1):
            self.build(self.state)
            self.state.save()
            try:
                self.processes = wait_ready(self.parts, tell=self.tell)
            except StartFailed as failure:
                self.seaweedfs.remove_sockets()
                if attempt == TRIES or not isinstance(failure, PortTaken):
                    raise
            else:
                break
        self.remember()

    def tell(self, part: str) -> None:
        if part not in self.state.ready:
            self.state.ready.append(part)
            self.state.save()
        self.hear(part)

    def build(self, state: State) -> None:
        logs = self.directory / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        choose_ports(state)
        self.postgres = Postgres(
            self.directory / "postgres",
            port=state.ports["postgres"],
            password=state.secret("postgres"),
            log=logs / "postgres.log",
        )
        self.valkey = Valkey(
            self.directory / "valkey",
            port=state.ports["valkey"],
            password=state.secret("valkey"),
            log=logs / "valkey.log",
        )
        self.seaweedfs = SeaweedFS(
            self.directory / "seaweedfs",
            ports={name: state.ports[name] for name in S3_PORTS},
            admin=self.s3,
            worker=self.worker_s3,
            log=logs / "seaweedfs.log",
        )
        # The slowest first, PostgreSQL last: it alone makes us wait while it starts (its data folder, 0.4 s, once).
        self.parts: list[Server] = [self.seaweedfs, self.valkey, self.postgres]

    def remember(self) -> None:
        for name, process in self.processes.items():
            self.state.saw(name, process)
        self.state.save()

    def restart(self, name: str) -> None:
        """A server that died, on the same port and data. Raises StartFailed.

        Its own children may need a moment to notice, and PostgreSQL refuses to start while one is left.
        """
        for attempt in range(1, TRIES + 1):
            try:
                self.processes |= wait_ready([part for part in self.parts if part.name == name])
            except StartFailed:
                if attempt == TRIES:
                    raise
                time.sleep(RESTART_EVERY_S)
            else:
                break
        self.remember()

    def stop(self) -> None:
        """All are asked first and then waited for."""
        for process in self.processes.values():
            process.ask()
        for process in self.processes.values():
            process.finish()
        self.seaweedfs.remove_sockets()
        self.state.processes.clear()
        self.state.ready.clear()
        self.state.save()


def access(state: State, who: str) -> Access:
    return Access(
        f"http://{ports.LOOPBACK}:{state.ports['s3.port']}",
        f"recordings-{who}",
        state.secret(f"s3_{who}"),
        BUCKET,
    )


def choose_ports(state: State) -> None:
    """Those of the last run, as long as they are free."""
    state.pick_ports(name for name in PORTS if name not in state.ports or not ports.is_free(state.ports[name]))


def reap(state: State) -> None:
    """End what a killed supervisor may have left: its servers take a moment, and macOS does not tell them at all.

    The lock is ours, so whatever runs is nobody's.
    """
    for seen in state.running().values():
        seen.end()

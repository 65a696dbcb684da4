"""Where the chaos plays: the real stack with a second dispatcher, its workers reaching S3 and PostgreSQL through fault
proxies."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import psutil
import psycopg

from tests.faults.eyes import Eyes
from tests.faults.proxy import FaultProxy
from tests.waiting import until
from workers.demo.kinds import MAX_BYTES
from workers.demo.provider import Provider
from workers.embedded import children
from workers.embedded.children import Child
from workers.embedded.process import Process, Program
from workers.embedded.stack import Stack
from workers.embedded.state import State

LEASE_S = 5.0
DOORBELL_EXPIRES_S = 5.0
CAP = 12
SECOND = "dispatcher2"
# What takes minutes in life takes seconds here; all else is as in production.
TUNING = {
    "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
    "RECORDINGS_MAX_BYTES": str(MAX_BYTES),
    "RECORDINGS_LEASE_S": str(LEASE_S),
    "RECORDINGS_DOORBELL_EXPIRES_S": str(DOORBELL_EXPIRES_S),
    "RECORDINGS_MAX_IN_FLIGHT": str(CAP),
    "RECORDINGS_DISPATCH_WINDOW": "48",
    "RECORDINGS_RETRY_BASE_S": "0.5",
    "RECORDINGS_RETRY_CAP_S": "10",
    "RECORDINGS_READ_TIMEOUT_S": "3",
    "RECORDINGS_CONNECT_TIMEOUT_S": "2",
    "RECORDINGS_DRAIN_S": "2",
}


class ChaosStack(Stack):
    """As ``recordings up`` starts it, but for TUNING, the second dispatcher and the proxies. ``more`` tunes further."""

    s3_proxy: FaultProxy | None = None
    database_proxy: FaultProxy | None = None
    more: dict[str, str] = {}  # noqa: RUF012 - set once, before it starts

    def programs(self) -> Iterator[Program]:
        if self.s3_proxy is None:
            self.s3_proxy = FaultProxy(self.state.ports["s3.port"])
            self.database_proxy = FaultProxy(self.state.ports["postgres"])
        for program in super().programs():
            yield self.tuned(program)

    def tuned(self, program: Program) -> Program:
        """Workers go through the proxies. Dispatchers do not: the leader is found by the port of its connection."""
        settings = TUNING | self.more
        if program.name.startswith("worker") and self.s3_proxy is not None:
            s3 = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.s3_proxy.port}"}
            settings |= s3 | {"DATABASE_URL": self.through_proxy(program.environment["DATABASE_URL"])}
        return replace(program, environment={**program.environment, **settings})

    def through_proxy(self, database_url: str) -> str:
        assert self.database_proxy is not None
        return database_url.replace(f":{self.state.ports['postgres']}/", f":{self.database_proxy.port}/")

    def add_dispatcher(self) -> None:
        made = children.dispatcher(self.state, slots=self.slots)
        program = replace(made, name=SECOND, log=made.log.with_name(f"{SECOND}.log"))
        self.children[SECOND] = Child.start(self.tuned(program))
        self.remember(SECOND)

    def stop(self) -> None:
        super().stop()
        for proxy in (self.s3_proxy, self.database_proxy):
            if proxy is not None:
                proxy.close()


@dataclass
class Stage:
    """Use it from the main thread: ``stack.tend()`` starts processes."""

    stack: ChaosStack
    provider: Provider
    org_ids: list[UUID]

    @property
    def state(self) -> State:
        return self.stack.state

    @property
    def admin_url(self) -> str:
        return self.stack.environment("admin")["DATABASE_URL"]

    @property
    def proxy(self) -> FaultProxy:
        """Between the workers and S3."""
        assert self.stack.s3_proxy is not None
        return self.stack.s3_proxy

    @property
    def database(self) -> FaultProxy:
        """Between the workers, the call handler and PostgreSQL."""
        assert self.stack.database_proxy is not None
        return self.stack.database_proxy

    def processes(self, prefix: str) -> dict[str, Process]:
        """Those of these children that run now, by name."""
        found = {name: child.process for name, child in self.stack.children.items() if name.startswith(prefix)}
        return {name: process for name, process in found.items() if process.is_alive()}

    def leading(self, eyes: Eyes) -> tuple[str, Process, int] | None:
        """The leading dispatcher by name, its process, and its connection's backend; None while nobody leads."""
        leader = eyes.leader()
        if leader is None:
            return None
        backend, port = leader
        for name, process in self.processes("dispatcher").items():
            if port in ports_of(process.pid):
                return name, process, backend
        return None

    def logs(self) -> Iterator[Path]:
        return (self.stack.state.directory / "logs").glob("*.log")


def ports_of(pid: int) -> set[int]:
    """The local ports of a process's TCP connections."""
    try:
        return {found.laddr.port for found in psutil.Process(pid).net_connections("tcp") if found.laddr}
    except psutil.Error:
        return set()


@contextmanager
def stage(
    directory: Path, *, workers: int = 3, concurrency: int = 8, organisations: int = 10, **more: str
) -> Iterator[Stage]:
    """A started stack with organisations and a provider. ``more`` are further settings of its processes."""
    stack = ChaosStack(directory, workers=workers, concurrency=concurrency)
    stack.more = more
    with Provider() as provider, stack:
        stack.add_dispatcher()
        eyes = Eyes(stack.environment("admin")["DATABASE_URL"])
        until(lambda: len(eyes.dispatchers()) == 2)
        eyes.close()
        with psycopg.connect(stack.environment("admin")["DATABASE_URL"]) as connection:
            rows = [
                connection.execute("INSERT INTO organizations (name) VALUES (%s) RETURNING id", (f"Clinic {n}",))
                for n in range(organisations)
            ]
            org_ids = [row[0] for cursor in rows for row in cursor]
        yield Stage(stack, provider, org_ids)


def signal_process(pid: int, number: int) -> bool:
    """False if it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True

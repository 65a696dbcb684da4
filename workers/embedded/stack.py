"""The whole system on one machine: servers, schema, dispatcher, workers, Flower. One object, one thread."""

import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from workers.embedded import children, environment, rekey, signs
from workers.embedded.children import Child
from workers.embedded.errors import StartFailed
from workers.embedded.process import Process, Program
from workers.embedded.servers import Servers

WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
SERVER_DEATHS = 5
STEADY_S = 10.0
WHOLE = "stack"


class Stack:
    """``with Stack(path) as stack``: everything answers on entry (about 5 s new), and is drained and stopped on exit.

    From the main thread only. Call ``tend`` often: it starts again what died, and it does not wait. ``tell`` hears the
    name of each part as it gets ready: postgres, valkey, seaweedfs, schema, dispatcher, worker1 …, flower; then stack.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        workers: int = 2,
        concurrency: int = 8,
        renditions: int = 0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.servers = Servers(state_dir, tell=tell)
        self.state = self.servers.state
        self.workers, self.concurrency, self.renditions = workers, concurrency, renditions
        self.children: dict[str, Child] = {}
        self.server_deaths: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> Self:
        with_servers = self.servers.__enter__()
        try:
            self.prepare_database(with_servers.admin_url)
            self.start_children()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def slots(self) -> int:
        return self.workers * self.concurrency

    def environment(self, role: str) -> dict[str, str]:
        return environment.environment(self.state, role)

    def prepare_database(self, admin_url: str) -> None:
        """Everything here may be done again: known passwords and keys stay what they are."""
        from schema import grant_keys, migrate, roles  # noqa: PLC0415  half a second that the servers alone do not need
        from workers.grants import GrantKey  # noqa: PLC0415

        migrate.migrate(admin_url)
        environment.make_secrets(self.state)
        self.state.save()
        roles.set_passwords(admin_url, {login: self.state.secrets[login] for login in roles.LOGINS})
        key = GrantKey.parse(self.state.secrets["grant_key"])
        grant_keys.install(admin_url, key.kid, key.secret)
        self.servers.tell("schema")

    def programs(self) -> Iterator[Program]:
        yield children.dispatcher(self.state, slots=self.slots)
        for number in range(1, self.workers + 1):
            yield children.worker(self.state, number, concurrency=self.concurrency)
        if self.renditions:
            yield children.renditions(self.state, processes=self.renditions)
        yield children.flower_program(self.state)

    def start_children(self) -> None:
        for program in self.programs():
            self.children[program.name] = Child.start(program)
            self.remember(program.name)
        deadline = time.monotonic() + WITHIN_S
        waiting = set(self.children)
        while waiting:
            for name in sorted(waiting):
                self.check(self.children[name].process, deadline)
            for name in sorted(signs.ready(waiting, self.servers)):
                waiting.discard(name)
                self.servers.tell(name)
            time.sleep(LOOK_EVERY_S)
        self.state.first_ready_at = self.state.first_ready_at or datetime.now(UTC).isoformat()
        self.servers.tell(WHOLE)

    def check(self, process: Process, deadline: float) -> None:
        name = process.program.name
        if not process.is_alive():
            raise StartFailed(f"{name} ended while it started; the end of its log:", tail=process.tail())
        if time.monotonic() > deadline:
            raise StartFailed(f"{name} was not ready within {WITHIN_S:.0f} s; the end of its log:", tail=process.tail())

    def remember(self, name: str) -> None:
        self.state.saw(name, self.children[name].process)
        self.state.save()

    def tend(self) -> list[str]:
        """Start again what died, servers first, and a dispatcher that gets a new key; returns their names. StartFailed
        when a server does not come back, or dies again and again within seconds: a server that lasted may die as often
        as it likes."""
        fallen = [name for name, process in self.servers.processes.items() if not process.is_alive()]
        for name in fallen:
            self.restart(name)
        if rekey.take(self.state):
            dispatcher = self.children["dispatcher"]
            dispatcher.program = children.dispatcher(self.state, slots=self.slots)
            dispatcher.process.ask()
        risen = [name for name, child in self.children.items() if child.tend(time.monotonic())]
        for name in risen:
            self.remember(name)
        return fallen + risen

    def restart(self, name: str) -> None:
        deaths, risen_at = self.server_deaths.get(name, (0, 0.0))
        deaths = 1 if time.monotonic() - risen_at > STEADY_S else deaths + 1
        if deaths > SERVER_DEATHS:
            raise StartFailed(f"{name} keeps dying", tail=self.servers.processes[name].tail())
        self.servers.restart(name)
        self.server_deaths[name] = (deaths, time.monotonic())

    def stop(self) -> None:
        """Workers first, who put back what they hold; then who feeds them; then what they stood on."""
        feeders = [child.process for name, child in self.children.items() if not children.is_worker(name)]
        for group in (self.worker_processes(), feeders):
            for process in group:
                process.ask()
            for process in group:
                process.finish()
        self.servers.__exit__()

    def hurry(self) -> None:
        """Do not wait for the workers any longer; their rows come back when the leases run out."""
        for process in self.worker_processes():
            process.signal(signal.SIGKILL)

    def worker_processes(self) -> list[Process]:
        return [child.process for name, child in self.children.items() if children.is_worker(name)]

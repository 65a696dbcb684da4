"""The project, whole: dispatcher, Redis, Celery workers; row-level security, grants, fences, leases, all on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench.ground import Ground
from bench.peers.peer import WARM_UP_SIZE, Cell, Measured, PeerFailedError, wait_for
from bench.peers.uploads import Uploads
from bench.usage import Observed
from workers.embedded import children, signs
from workers.embedded.process import Process, Program, spawn

WARM_UP = 8
SETTINGS = {"RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8"}


@dataclass(frozen=True, slots=True)
class Project:
    name: str = "project"

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Crew"]:
        with crew(ground, sink=cell.sink, slots=cell.slots) as processes:
            yield Crew(ground, cell, processes)


@dataclass(frozen=True, slots=True)
class Crew:
    """The dispatcher and the workers; what they cost is what the project costs."""

    ground: Ground
    cell: Cell
    processes: dict[str, Process]

    def warm_up(self) -> None:
        uploads = Uploads(self.ground, WARM_UP_SIZE)
        processes, threads = self.cell.slots
        uploads.await_all(uploads.enqueue_all(processes * threads + WARM_UP))

    def backlog(self, count: int) -> Measured:
        uploads = Uploads(self.ground, self.cell.size)
        with self.observed() as seen:
            batch = uploads.enqueue_all(count)
            settled = uploads.await_all(batch)
        return Measured(max(settled.values()) - batch.began, seen.usage)

    def steady(self, count: int, rate: float) -> Measured:
        uploads = Uploads(self.ground, self.cell.size)
        with self.observed() as seen:
            batch, committed = uploads.enqueue_steadily(count, rate)
            settled = uploads.await_all(batch)
        latencies = tuple((settled[number] - at) * 1000 for number, at in enumerate(committed))
        return Measured(max(settled.values()) - batch.began, seen.usage, latencies)

    def observed(self) -> Observed:
        return Observed(process.pid for process in self.processes.values())


@contextmanager
def crew(ground: Ground, *, sink: str, slots: tuple[int, int]) -> Iterator[dict[str, Process]]:
    """Running and answering; stopped in their order."""
    state, (processes, threads) = ground.stack.state, slots
    programs = [children.dispatcher(state, slots=processes * threads)]
    programs += [children.worker(state, number + 1, concurrency=threads) for number in range(processes)]
    with ExitStack() as stack:
        running = {}
        for program in programs:
            running[program.name] = spawn(_on(program, ground, sink))
            stack.callback(running[program.name].stop)
        wait_for(lambda: _all_ready(running, ground), "the project did not start", within_s=60)
        yield running
        for process in running.values():
            process.ask()


def _on(program: Program, ground: Ground, sink: str) -> Program:
    """On this ground's database and sink, where it has one."""
    role = "worker" if program.name.startswith("worker") else "dispatcher"
    changed = SETTINGS | ground.environment(role) | (ground.s3(sink) if role == "worker" else {})
    return replace(program, environment=dict(program.environment) | changed)


def _all_ready(running: dict[str, Process], ground: Ground) -> bool:
    for process in running.values():
        if not process.is_alive():
            raise PeerFailedError(f"{process.program.name} ended: {process.tail(lines=4)}")
    return not set(running) - signs.ready(running, ground.stack.servers)

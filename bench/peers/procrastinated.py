"""procrastinate: one process, 16 at once, otherwise as it comes."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.ground import Ground
from bench.peers.ledger import Ledger
from bench.peers.naive import announcing
from bench.peers.peer import WARM_UP_SIZE, Cell, Measured, PeerFailedError, paced
from bench.usage import Observed
from workers.embedded.children import ROOM
from workers.embedded.process import Process, Program, basics, spawn

CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Procrastinate:
    name: str = "procrastinate"

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Worker"]:
        import procrastinate  # noqa: PLC0415 - only in the benchmark's own environment

        ledger = Ledger(ground, "procrastinate", cell.size)
        connector = procrastinate.SyncPsycopgConnector(conninfo=ledger.url)
        settings = basics() | ground.s3(cell.sink) | {"DATABASE_URL": ledger.url}
        argv = ("-m", "procrastinate", "--app=bench.peers.procrastinate_app.app", "worker")
        program = (sys.executable, *argv, f"--concurrency={CONCURRENCY}")
        with procrastinate.App(connector=connector).open() as app:
            app.schema_manager.apply_schema()
            log = ground.folder / "procrastinate.log"
            process = spawn(Program("procrastinate", program, log, settings, cwd=ROOM))
            try:
                yield Worker(ground, cell, ledger, app.configure_task("naive.upload"), process)
            finally:
                process.stop()
                ledger.close()


@dataclass(frozen=True, slots=True)
class Worker:
    ground: Ground
    cell: Cell
    ledger: Ledger
    task: Any
    process: Process

    def warm_up(self) -> None:
        self._await(self._deferred(CONCURRENCY * 2, size=WARM_UP_SIZE))

    def backlog(self, count: int) -> Measured:
        with Observed([self.process.pid]) as seen:
            ids = self._deferred(count)
            began = time.time()
            settled = self._await(ids)
        return Measured(max(settled.values()) - began, seen.usage)

    def steady(self, count: int, rate: float) -> Measured:
        committed: dict[int, float] = {}
        with Observed([self.process.pid]) as seen:
            paced(count, rate, announcing(self.ledger, committed, lambda number: self.task.defer(recording_id=number)))
            settled = self._await(list(committed))
        latencies = tuple((settled[number] - at) * 1000 for number, at in committed.items())
        return Measured(max(settled.values()) - min(committed.values()), seen.usage, latencies)

    def _deferred(self, count: int, *, size: int | None = None) -> list[int]:
        """In one statement, so all are there at once."""
        ids = list(self.ledger.add(count, size=size))
        self.task.batch_defer(*({"recording_id": number} for number in ids))
        return ids

    def _await(self, ids: list[int]) -> dict[int, float]:
        if not self.process.is_alive():
            raise PeerFailedError(f"procrastinate ended: {self.process.tail(lines=4)}")
        return self.ledger.await_all(ids)

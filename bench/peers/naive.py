"""Celery prefork with everything as it comes, and the copy as people write it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery

from bench.ground import Ground
from bench.peers.ledger import Ledger
from bench.peers.naive_app import QUEUE, TASK, application
from bench.peers.peer import WARM_UP_SIZE, Cell, Measured, PeerFailedError, paced, wait_for
from bench.usage import Observed
from workers.embedded.children import ROOM
from workers.embedded.process import Process, Program, basics, spawn

_HELD = "held"


@dataclass(frozen=True, slots=True)
class Naive:
    processes: int

    @property
    def name(self) -> str:
        return f"naive -c{self.processes}"

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Prefork"]:
        ledger = Ledger(ground, "naive", cell.size)
        settings = ground.s3(cell.sink) | {"REDIS_URL": ground.broker_url, "DATABASE_URL": ledger.url}
        argv = ("-m", "celery", "-A", "bench.peers.naive_app", "worker", "-c", str(self.processes), "-Q", QUEUE)
        log = ground.folder / "naive.log"
        process = spawn(Program("naive", (sys.executable, *argv), log, basics() | settings, cwd=ROOM))
        try:
            with application(ground.broker_url) as app:
                wait_for(lambda: _answers(process, app), "naive did not start", within_s=60)
                yield Prefork(ground, cell, ledger, app, process, self.processes)
        finally:
            process.stop()
            ledger.close()


@dataclass(frozen=True, slots=True)
class Prefork:
    ground: Ground
    cell: Cell
    ledger: Ledger
    app: Celery
    process: Process
    processes: int

    def warm_up(self) -> None:
        ids = self.ledger.add(self.processes * 4, size=WARM_UP_SIZE)
        for recording_id in ids:
            self.send(recording_id, QUEUE)
        self.ledger.await_all(ids)

    def backlog(self, count: int) -> Measured:
        """Held in another list and given its name in one step: nobody works while the messages are written."""
        ids = self.ledger.add(count)
        for recording_id in ids:
            self.send(recording_id, _HELD)
        with Observed([self.process.pid]) as seen, redis.Redis.from_url(self.ground.broker_url) as broker:
            began = time.time()
            broker.rename(_HELD, QUEUE)
            settled = self.ledger.await_all(ids)
        return Measured(max(settled.values()) - began, seen.usage)

    def steady(self, count: int, rate: float) -> Measured:
        committed: dict[int, float] = {}
        with Observed([self.process.pid]) as seen:
            paced(count, rate, announcing(self.ledger, committed, lambda number: self.send(number, QUEUE)))
            settled = self.ledger.await_all(list(committed))
        latencies = tuple((settled[number] - at) * 1000 for number, at in committed.items())
        return Measured(max(settled.values()) - min(committed.values()), seen.usage, latencies)

    def send(self, recording_id: int, queue: str) -> None:
        self.app.send_task(TASK, (recording_id,), queue=queue)


def announcing(ledger: Ledger, committed: dict[int, float], send: Callable[[int], Any]) -> Callable[[int], None]:
    """A row, its commit, its message; as a webhook would."""

    def act(_: int) -> None:
        for recording_id in ledger.add(1):
            committed[recording_id] = time.time()
            send(recording_id)

    return act


def _answers(process: Process, app: Celery) -> bool:
    if not process.is_alive():
        raise PeerFailedError(f"naive ended: {process.tail(lines=4)}")
    return bool(app.control.ping(timeout=0.3))

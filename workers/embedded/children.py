"""Our own processes on the servers: dispatcher, workers, Flower. Each is told only its own role's settings."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import workers
from workers.doorbell import RENDITION_QUEUE
from workers.embedded.environment import environment, flower, tuning
from workers.embedded.process import Process, Program, basics, spawn
from workers.embedded.size import in_flight
from workers.embedded.state import State

ROOM = Path(workers.__file__).parents[1]
DRAIN_S = 20.0
MARGIN_S = 10.0
BACKOFF_S = 0.5
BACKOFF_CAP_S = 30.0
STEADY_S = 60.0
RENDITIONS = "renditions"


@dataclass(slots=True)
class Child:
    """A program that is started again whenever it ends, later each time it does not last."""

    program: Program
    process: Process
    born_at: float
    deaths: int = 0
    due_at: float | None = None

    @classmethod
    def start(cls, program: Program) -> "Child":
        return cls(program, spawn(program), time.monotonic())

    def tend(self, now: float) -> bool:
        """Look after it without waiting; True when it was started again."""
        if self.process.is_alive():
            return False
        if self.due_at is None:
            self.deaths = 1 if now - self.born_at > STEADY_S else self.deaths + 1
            self.due_at = now + min(BACKOFF_CAP_S, BACKOFF_S * 2 ** (self.deaths - 1))
        if now < self.due_at:
            return False
        self.process, self.born_at, self.due_at = spawn(self.program), now, None
        return True


def drain_s() -> float:
    """How long the workers may take to put back what they hold, with a margin for their own bookkeeping."""
    return float(os.environ.get("RECORDINGS_DRAIN_S", DRAIN_S)) + MARGIN_S


def program(name: str, *argv: str, settings: Mapping[str, str], logs: Path, stop_within_s: float = MARGIN_S) -> Program:
    """Killed at once when the supervisor is: the servers go then too, and a drain without them would only hang."""
    return Program(
        name,
        (sys.executable, *argv),
        logs / f"{name}.log",
        basics() | {"PYTHONUNBUFFERED": "1"} | tuning() | dict(settings),
        cwd=ROOM,
        stop_within_s=stop_within_s,
        death_signal=signal.SIGKILL,
    )


def dispatcher(state: State, *, slots: int) -> Program:
    """For workers of so many threads in all; what the caller's environment says of it comes first."""
    window, share = in_flight(slots)
    sized = {"RECORDINGS_DISPATCH_WINDOW": str(window), "RECORDINGS_MAX_IN_FLIGHT": str(share)}
    settings = sized | tuning() | environment(state, "dispatcher")
    return program("dispatcher", "-m", "workers.cli", "dispatcher", settings=settings, logs=state.directory / "logs")


def flower_program(state: State) -> Program:
    return program("flower", "-m", "workers.cli", "flower", settings=flower(state), logs=state.directory / "logs")


def is_worker(name: str) -> bool:
    return name.startswith(("worker", RENDITIONS))


def worker(state: State, number: int, *, concurrency: int) -> Program:
    return celery(state, f"worker{number}", "-P", "threads", "-c", str(concurrency))


def renditions(state: State, *, processes: int) -> Program:
    """Formats are made by processes, apart from uploads (tasks/app.py)."""
    return celery(state, RENDITIONS, "-P", "processes", "-Q", RENDITION_QUEUE, "-c", str(processes))


def celery(state: State, name: str, *options: str) -> Program:
    """Gossip and mingle only cost start-up time here: nothing reads them."""
    others = ("-n", f"{name}@recordings", "--without-gossip", "--without-mingle")
    return program(
        name,
        *("-m", "tasks", "worker", *options, *others),
        settings=environment(state, "worker"),
        logs=state.directory / "logs",
        stop_within_s=drain_s(),
    )

"""Where the demo plays: the whole stack in a temporary folder, as a child process that cannot outlive the demo."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from workers.demo.interruption import Interruption
from workers.demo.kinds import MAX_BYTES
from workers.embedded import detached
from workers.embedded.children import ROOM
from workers.embedded.environment import environment
from workers.embedded.errors import EmbeddedError
from workers.embedded.process import Process, Program, basics, spawn
from workers.embedded.state import Seen, State, load, remove

CONCURRENCY = 8
STOP_WITHIN_S = 60.0
# What takes minutes in life takes seconds here. The doorbell's expiry and the lease are what the killed worker's
# uploads wait for. The provider is on loopback, which must be allowed: by default nothing private is fetched from.
TUNING = {
    "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
    "RECORDINGS_MAX_BYTES": str(MAX_BYTES),
    "RECORDINGS_LEASE_S": "4",
    "RECORDINGS_DOORBELL_EXPIRES_S": "4",
    "RECORDINGS_TICK_S": "0.2",
    "RECORDINGS_RETRY_BASE_S": "0.3",
    "RECORDINGS_RETRY_CAP_S": "2",
    "RECORDINGS_READ_TIMEOUT_S": "5",
    "RECORDINGS_CONNECT_TIMEOUT_S": "2",
    "RECORDINGS_DRAIN_S": "1",
}


@dataclass(slots=True)
class Stage:
    """A running stack. ``seen`` is every process of it that was ever noted, for the proof that none is left."""

    root: Path
    process: Process
    state: State
    seen: dict[tuple[str, int], Seen] = field(default_factory=dict)

    def environment(self, role: str) -> dict[str, str]:
        return environment(self.state, role)

    def look(self) -> dict[str, Seen]:
        """The stack's processes by name, as they are now: what was started again has a new id."""
        self.state = load(self.root / "state")
        self.seen |= {(name, seen.pid): seen for name, seen in self.state.processes.items()}
        return self.state.processes

    def left(self) -> list[str]:
        """What should be gone and is not: processes by name, and the folder."""
        running = [name for (name, _), seen in self.seen.items() if seen.is_running()]
        return running + ([str(self.root)] if self.root.exists() else [])


@contextmanager
def stage(*, workers: int, tell: Callable[[str], None], stopping: Callable[[], None]) -> Iterator[Stage]:
    """Start the stack, give it, and always stop it and delete its folder: on an exception, Ctrl-C, SIGTERM and SIGHUP
    (all three raise KeyboardInterrupt), and through the kernel if this process is killed. From the main thread only."""
    interruption = Interruption()
    with interruption.heard():
        root = Path(tempfile.mkdtemp(prefix="recordings-demo-"))
        try:
            process = spawn(_program(root, workers))
            try:
                with interruption.armed():
                    state = detached.follow(process.popen, root / "state", root / "stack.log", tell)
                    here = Stage(root, process, state)
                    here.look()
                    yield here
            finally:
                interruption.came = True
                interruption.hurry = lambda: process.signal(signal.SIGTERM)
                stopping()
                process.stop()
                _end_leftovers(root / "state")
        finally:
            _delete(root)


def _program(root: Path, workers: int) -> Program:
    arguments = (str(root / "state"), str(workers), str(CONCURRENCY), str(os.getpid()))
    return Program(
        "stack",
        (sys.executable, "-m", "workers.demo.background", *arguments),
        root / "stack.log",
        basics() | TUNING,
        cwd=ROOM,
        stop_within_s=STOP_WITHIN_S,
        death_signal=signal.SIGTERM,
    )


def _end_leftovers(state_dir: Path) -> None:
    """Of a supervisor that was killed, or did not stop in time."""
    with suppress(EmbeddedError):
        detached.stop(state_dir)


def _delete(root: Path) -> None:
    with suppress(OSError):
        remove(root / "state")
    shutil.rmtree(root, ignore_errors=True)

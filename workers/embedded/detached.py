"""A supervisor in the background: it outlives the caller's terminal, is watched until it is ready, and is ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from workers.embedded.children import ROOM, drain_s
from workers.embedded.errors import StartFailed
from workers.embedded.process import wait_gone
from workers.embedded.stack import WHOLE
from workers.embedded.state import SUPERVISOR, Seen, State, load, lock, prepare

WITHIN_S = 120.0
STOP_MARGIN_S = 60.0
LOOK_EVERY_S = 0.05
TAIL_LINES = 12


def start(state_dir: Path, *, workers: int, concurrency: int, renditions: int, tell: Callable[[str], None]) -> State:
    """Start a stack in the background and wait until all of it answers. StartFailed says why it did not."""
    directory = prepare(state_dir)
    os.close(lock(directory))
    log = directory / "logs" / "supervisor.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    sizes = (str(size) for size in (workers, concurrency, renditions))
    argv = [sys.executable, "-m", "workers.embedded.supervisor", str(directory), *sizes]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        supervisor = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOM
        )
    try:
        return follow(supervisor, directory, log, tell)
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise


def follow(supervisor: subprocess.Popen[bytes], directory: Path, log: Path, tell: Callable[[str], None]) -> State:
    told: list[str] = []
    deadline = time.monotonic() + WITHIN_S
    while WHOLE not in told:
        if supervisor.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text().splitlines()[-TAIL_LINES:])
            raise StartFailed("the stack did not start:", tail=tail)
        state = load(directory)
        seen = state.processes.get(SUPERVISOR)
        if seen and seen.pid == supervisor.pid:
            for part in [part for part in state.ready if part not in told]:
                tell(part)
                told.append(part)
        time.sleep(LOOK_EVERY_S)
    return state


def stop(directory: Path) -> list[str]:
    """Drain and end whatever runs on this folder; returns the names of what ran. Nothing of it is left afterwards."""
    known = load(directory).running()
    supervisor = known.get(SUPERVISOR)
    if supervisor:
        os.kill(supervisor.pid, signal.SIGTERM)
        if not wait_gone(supervisor.pid, supervisor.started, within_s=drain_s() + STOP_MARGIN_S):
            raise StartFailed(f"the supervisor (process {supervisor.pid}) is still draining: try again, or kill it")
    left: dict[str, Seen] = known | load(directory).running()
    for seen in left.values():
        if seen.is_running():
            seen.end()
    return sorted(known)

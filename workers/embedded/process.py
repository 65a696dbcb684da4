"""One child process: started so that it cannot outlive its supervisor, stopped by its id within a bound."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workers.embedded import launch
from workers.embedded.errors import EmbeddedError
from workers.embedded.identity import SAME, Identity

BASICS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV", "PYTHONPATH")
KILL_WITHIN_S = 5.0


def basics() -> dict[str, str]:
    """The caller's environment without anything that configures a server, a client or a library: no PG*, no AWS_*."""
    return {name: os.environ[name] for name in BASICS if name in os.environ}


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``death_signal`` is what the kernel sends it when the supervisor dies, however that happens."""

    name: str
    argv: tuple[str | Path, ...]
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path = Path("/")
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    identity: Identity = SAME


@dataclass(frozen=True, slots=True)
class Process:
    """A program that was started. ``started`` tells it from a later process that got the same id."""

    program: Program
    popen: subprocess.Popen[bytes]
    started: str
    log_offset: int

    @property
    def pid(self) -> int:
        return self.popen.pid

    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive():
            self.popen.send_signal(number)

    def wait(self, *, within_s: float) -> bool:
        """Whether it ended in time."""
        try:
            self.popen.wait(max(0.0, within_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        self.ask()
        self.finish()

    def ask(self) -> None:
        """To stop, once: some programs drop what they hold when they are asked again."""
        self.signal(self.program.stop_signal)

    def finish(self) -> None:
        """After ``ask``: wait for its end, and kill it after its bound."""
        if not self.wait(within_s=self.program.stop_within_s):
            self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait(within_s=KILL_WITHIN_S)

    def said(self) -> str:
        """What this process, not an earlier one, wrote to its log."""
        with self.program.log.open("rb") as file:
            file.seek(self.log_offset)
            return file.read().decode(errors="replace")

    def tail(self, *, lines: int = 8) -> str:
        return "\n".join(self.said().splitlines()[-lines:])


def spawn(program: Program) -> Process:
    """Start a program in a session of its own (a terminal's Ctrl-C reaches the supervisor only).

    On Linux only from the main thread: PR_SET_PDEATHSIG follows the *thread* that forked, so a child of another thread
    would be stopped when that thread ends.
    """
    if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
        message = "embedded servers start from the main thread only: they would die with any other"
        raise EmbeddedError(message)
    argv = [str(part) for part in program.argv]
    launcher = (sys.executable, "-I", "-S", launch.__file__, str(int(program.death_signal)), str(os.getpid()))
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        offset = os.fstat(log).st_size
        popen = subprocess.Popen(
            [*launcher, str(program.identity), *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=dict(program.environment),
            cwd=program.cwd,
        )
    finally:
        os.close(log)
    return Process(program, popen, started_at(popen.pid), offset)


def started_at(pid: int) -> str:
    """When a living process began, in the system's own words; empty for one that is gone or a zombie.

    A zombie counts as gone: where process 1 does not reap orphans, they stay for ever.
    """
    if sys.platform != "linux":
        shown = subprocess.run(
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, started = shown.stdout.strip().partition(" ")
        return "" if state.startswith("Z") else started.strip()
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_running(pid: int, started: str) -> bool:
    """Whether this very process, not a later one with its id, is still there."""
    return bool(started) and started_at(pid) == started


def wait_gone(pid: int, started: str, *, within_s: float) -> bool:
    """Wait for a process that is not our child. Nothing can be waited on but the process table."""
    deadline = time.monotonic() + within_s
    while is_running(pid, started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

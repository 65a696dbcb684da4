"""What a stack must remember between runs: ports, secrets, process ids. One file that only its owner can read."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workers.embedded import ports
from workers.embedded.errors import AlreadyRunning, StateUnusable
from workers.embedded.identity import remove_owned
from workers.embedded.process import Process, is_running, wait_gone

FILE = "state.json"
LOCK = "lock"
SUPERVISOR = "supervisor"
PRIVATE = 0o700
LEFTOVER_WITHIN_S = 5.0


@dataclass(slots=True)
class Seen:
    """A process that was started: its id, and when it began, so that a later process with this id is not mistaken."""

    pid: int
    started: str

    def is_running(self) -> bool:
        return is_running(self.pid, self.started)

    def end(self) -> None:
        """For a leftover of a supervisor that was killed. SIGINT: the one signal that every part takes as a quick and
        orderly stop (for PostgreSQL SIGTERM means to wait for clients)."""
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if wait_gone(self.pid, self.started, within_s=LEFTOVER_WITHIN_S):
                return


@dataclass(slots=True)
class State:
    """Mutable on purpose: it grows as parts start. Nothing is on disk before ``save``.

    ``ready`` names the parts that answered in this run; ``first_ready_at`` is when the whole stack first did.
    """

    directory: Path
    ports: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    processes: dict[str, Seen] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    first_ready_at: str = ""

    def pick_ports(self, names: Iterable[str]) -> None:
        """New ports for these, whatever they had."""
        wanted = list(names)
        self.ports |= dict(zip(wanted, ports.pick(len(wanted)), strict=True))

    def secret(self, name: str, *, bytes_count: int = 24) -> str:
        """Made once, then the same for ever. URL-safe, so it needs no quoting in a URL, a shell or a configuration."""
        if name not in self.secrets:
            self.secrets[name] = secrets.token_urlsafe(bytes_count)
        return self.secrets[name]

    def saw(self, name: str, process: Process) -> None:
        self.processes[name] = Seen(process.pid, process.started)

    def running(self) -> dict[str, Seen]:
        return {name: seen for name, seen in self.processes.items() if seen.is_running()}

    def is_supervised(self) -> bool:
        return SUPERVISOR in self.processes and self.processes[SUPERVISOR].is_running()

    def save(self) -> None:
        """Whole or not at all: a reader never sees half a file."""
        new = self.directory / f"{FILE}.new"
        content = asdict(self) | {"directory": str(self.directory)}
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file, indent=1)
        new.replace(self.directory / FILE)


def prepare(directory: Path) -> Path:
    """Make or take the folder, private to its owner. Refuses a folder that holds something else."""
    directory = directory.expanduser().absolute()
    try:
        directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = {path.name for path in directory.iterdir()}
        if found and not {FILE, LOCK} & found:
            raise StateUnusable(f"{directory} holds other files: choose a new or empty folder with --state")
        if stat.S_IMODE(directory.stat().st_mode) != PRIVATE:
            directory.chmod(PRIVATE)
    except OSError as error:
        raise StateUnusable(
            f"{directory} cannot be used as state folder ({error.strerror}): choose another with --state"
        ) from error
    return directory.resolve()


def lock(directory: Path) -> int:
    """Hold the folder as long as this process lives, even if it is killed; returns what to close."""
    try:
        held = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnusable(f"{directory} is not writable ({error.strerror}): choose another with --state") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        raise AlreadyRunning(
            f"already running on {directory}: stop it with `recordings down --state {directory}`"
        ) from error
    return held


def remove(directory: Path) -> None:
    """Delete a stopped stack with all its data, also what lies outside (see identity.owned_folder)."""
    remove_owned(directory / "postgres" / "data")
    shutil.rmtree(directory)


def load(directory: Path) -> State:
    """What is remembered; a new, empty state where nothing is."""
    directory = directory.expanduser().resolve()
    try:
        content = json.loads((directory / FILE).read_text())
    except FileNotFoundError:
        return State(directory)
    except (OSError, ValueError) as error:
        raise StateUnusable(f"{directory / FILE} cannot be read: remove the folder to start afresh") from error
    is_copy = content.pop("directory") != str(directory)  # then the processes are the original's: not ours to end
    processes = {} if is_copy else {name: Seen(**seen) for name, seen in content.pop("processes").items()}
    return State(directory, **content | {"processes": processes})

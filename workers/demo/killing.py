"""One worker is killed with SIGKILL while it copies: no signal handler runs, nothing is put back, sockets close."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from workers.demo.observer import Held
from workers.embedded.process import wait_gone
from workers.embedded.state import Seen

GONE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Killed:
    """``held`` is what it owned when it was gone."""

    worker: str
    pid: int
    at_s: float
    held: tuple[Held, ...]


def process_name(worker: str) -> str:
    """As the supervisor calls it: the node's name in Celery without the host."""
    return worker.partition("@")[0]


def choose(held: Collection[Held], slow: Collection[UUID]) -> str | None:
    """The worker that holds the most slow uploads; None while nobody holds any."""
    holders = Counter(one.worker for one in held if one.upload_id in slow)
    return max(holders, key=lambda worker: (holders[worker], worker)) if holders else None


def kill(
    worker: str, *, processes: Mapping[str, Seen], held: Callable[[], tuple[Held, ...]], at_s: float
) -> Killed | None:
    """Kill it, wait until it is gone, and say what it held; None if it was gone already."""
    victim = processes[process_name(worker)]
    if not victim.is_running():
        return None
    with suppress(ProcessLookupError):
        os.kill(victim.pid, signal.SIGKILL)
    wait_gone(victim.pid, victim.started, within_s=GONE_WITHIN_S)
    return Killed(worker, victim.pid, at_s, tuple(one for one in held() if one.worker == worker))

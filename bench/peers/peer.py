"""What the comparison asks of everybody."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.ground import Ground
from bench.usage import Usage

PATIENCE_S = 180.0
#: Bytes of a recording to warm up with: what is made once in a process's life does not depend on the size.
WARM_UP_SIZE = 200_000


class PeerFailedError(Exception):
    """A peer could not do its work; says what is known of it. The run goes on with the others."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One comparison: so large, to that sink. With a ``rate`` uploads come one by one, that many a second; without, all
    are there from the beginning. ``slots`` are processes and threads of ours."""

    name: str
    sink: str
    size: int
    count: int
    rate: float | None = None
    slots: tuple[int, int] = (2, 4)
    counts: tuple[tuple[str, int], ...] = ()

    def count_for(self, peer: str) -> int:
        """Slower peers may do fewer: rates are compared, not totals."""
        return dict(self.counts).get(peer, self.count)


@dataclass(frozen=True, slots=True)
class Measured:
    seconds: float
    usage: Usage
    latencies_ms: tuple[float, ...] = ()


class Running(Protocol):
    """A peer that is ready to work."""

    def warm_up(self) -> None:
        """What is made once in a process's life has been made."""

    def backlog(self, count: int) -> Measured:
        """From the moment at which all of them are there to the last commit."""

    def steady(self, count: int, rate: float) -> Measured:
        """Each from its own commit to the commit that settles it."""


class Peer(Protocol):
    @property
    def name(self) -> str: ...

    def ready(self, ground: Ground, cell: Cell) -> AbstractContextManager[Running]: ...


def wait_for(is_over: Callable[[], bool], what: str, *, every_s: float = 0.05, within_s: float = PATIENCE_S) -> None:
    give_up_at = time.monotonic() + within_s
    while not is_over():
        if time.monotonic() > give_up_at:
            raise PeerFailedError(f"{what}: not within {within_s:.0f} s")
        time.sleep(every_s)


def paced(count: int, rate: float, act: Callable[[int], None]) -> None:
    """Act ``count`` times, ``rate`` times a second, however long each takes."""
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        act(number)

"""What the demo tells while it runs, and to whom: a terminal (live.py), a log, or nobody."""

import sys
import time
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from workers.demo.observer import Snapshot


class View(Protocol):
    def part(self, name: str) -> None:
        """A part of the stack is ready."""

    def milestone(self, text: str) -> None:
        """Something that belongs into the shortest account of what happened."""

    def note(self, text: str) -> None:
        """Something that is nice to see pass."""

    def show(self, snapshot: Snapshot) -> None:
        """How things stand."""


@dataclass(slots=True)
class Silent:
    def part(self, name: str) -> None: ...

    def milestone(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def show(self, snapshot: Snapshot) -> None: ...


@dataclass(slots=True)
class Lines:
    """One plain line a milestone, for a log or a pipe; how far it got, by quarters."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    total: int = 1
    began: float = field(default_factory=time.monotonic)
    _quarters: int = 0

    def part(self, name: str) -> None:
        if name == "stack":
            self.milestone("the stack is ready")

    def milestone(self, text: str) -> None:
        self.out.write(f"{time.monotonic() - self.began:6.1f} s  {text}\n")
        self.out.flush()

    def note(self, text: str) -> None: ...

    def show(self, snapshot: Snapshot) -> None:
        settled = snapshot.settled()
        quarters = 4 * settled // self.total
        if quarters > self._quarters:
            self._quarters = quarters
            self.milestone(f"{settled} of {self.total} uploads settled")

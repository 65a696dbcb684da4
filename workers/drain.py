"""Shutting down without losing or wasting anything (law 10)."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Drain:
    """From ``begin`` on nothing is claimed. What is held may finish within ``patience_s``; then it is put back."""

    patience_s: float
    clock: Callable[[], float] = time.monotonic
    _begun: threading.Event = field(default_factory=threading.Event)
    _ends_at: float = 0.0

    def begin(self) -> None:
        """Stop claiming. Saying it again changes nothing."""
        if not self._begun.is_set():
            self._ends_at = self.clock() + self.patience_s
            self._begun.set()

    @property
    def begun(self) -> bool:
        return self._begun.is_set()

    @property
    def over(self) -> bool:
        """Whether what is still held must be put back now."""
        return self._begun.is_set() and self.clock() >= self._ends_at

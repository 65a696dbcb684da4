"""The store's circuit: while the store is away or refuses, a worker process starts no copy, and looks for its return.

Without it an outage makes every due row an attempt that fetches a whole recording for nothing. With it a few find out,
the rest wait in the slots with their doorbells in hand, and go on within a moment of the store's return.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from workers.errors import STORE_FAULTS, AttemptError
from workers.telemetry import log
from workers.uploads import Copied

#: One attempt that fails at the store may be bad luck; as many in a row, none stored between them, are an outage.
_IN_A_ROW = 3
#: A refusal counts as an outage at once unless something was stored this lately: then it may be one object's matter.
_LATELY_S = 10.0
_FIRST_S = 0.5
_LONGEST_S = 10.0
#: Between two looks at whether the worker is to stop.
_LOOK_S = 0.2


@dataclass(slots=True)
class _Pause:
    """Why, since when, and when the store is tried next, by the circuit's clock."""

    code: str
    since: float
    due_at: float
    tries: int = 0
    is_tried: bool = False


@dataclass(slots=True)
class Circuit:
    """One for a worker process; thread-safe. ``check`` is a cheap question to the store that raises its faults.

    The question alone does not end a pause: a store that answers it may still refuse to store. Then one upload after
    the other is let through, at the same growing distance, until one is stored.
    """

    check: Callable[[], None]
    rng: Random
    clock: Callable[[], float] = time.monotonic
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _pause: _Pause | None = None
    _faults: int = 0
    _stored_at: float = float("-inf")

    @property
    def paused(self) -> tuple[str, float] | None:
        """The code and for how long, in seconds; None while all is well."""
        pause = self._pause
        return None if pause is None else (pause.code, self.clock() - pause.since)

    def admit(self, *, within_s: float, unless: Callable[[], bool]) -> bool:
        """Whether a copy may start now. Waits for the store's return, ``within_s`` at most, ``unless`` says to stop.

        Who gets True must say what came of it, by ``heard``: it may be the one that the others wait for.
        """
        give_up_at = self.clock() + within_s
        while True:
            with self._changed:
                if unless():
                    return False
                if self._pause is None:
                    return True
                if not self._is_turn(self._pause):
                    if self.clock() >= give_up_at:
                        return False
                    self._changed.wait(_LOOK_S)
                    continue
            try:
                self.check()
            except AttemptError as fault:
                self.heard(fault)
            else:
                return True

    def heard(self, ending: object) -> None:
        """How an admitted upload ended: ``Copied``, an error, or anything else, which says nothing about the store."""
        with self._changed:
            if isinstance(ending, Copied):
                self._stored()
            elif isinstance(ending, STORE_FAULTS):
                self._faulted(ending.code)
            elif self._pause is not None and self._pause.is_tried:
                self._pause.due_at = self.clock()

    def _is_turn(self, pause: _Pause) -> bool:
        """The caller's turn to try. The next one's comes after as long again: a slow try must not hold up the rest."""
        now = self.clock()
        if now < pause.due_at:
            return False
        pause.is_tried, pause.due_at = True, now + self._distance_s(pause)
        return True

    def _distance_s(self, pause: _Pause) -> float:
        return self.rng.uniform(0.5, 1.0) * min(_LONGEST_S, _FIRST_S * 2.0 ** min(pause.tries, 16))

    def _stored(self) -> None:
        self._faults, self._stored_at = 0, self.clock()
        if self._pause is None:
            return
        paused_s = round(self.clock() - self._pause.since, 1)
        log("worker").info("store_resumed", code=self._pause.code, paused_s=paused_s)
        self._pause = None
        self._changed.notify_all()

    def _faulted(self, code: str) -> None:
        now = self.clock()
        self._faults += 1
        pause = self._pause
        if pause is None:
            is_outage = self._faults >= _IN_A_ROW or (code == "store_denied" and now - self._stored_at > _LATELY_S)
            if is_outage:
                self._pause = pause = _Pause(code, since=now, due_at=now)
                pause.due_at += self._distance_s(pause)
                log("worker").warning("store_paused", code=code)
        elif pause.is_tried:
            # Those that were under way when it began say nothing new. The answer to a HEAD has no body that could tell
            # SlowDown from any other 503.
            if (pause.code, code) != ("store_throttled", "store_unavailable"):
                pause.code = code
            pause.is_tried, pause.tries = False, pause.tries + 1
            pause.due_at = now + self._distance_s(pause)

"""Whether this worker still hears. After a lost connection to Redis, Celery can answer pings and take no message any
more, for ever (celery 8030, 8091, 10302). From the inside it shows: doorbells wait, slots are free, and none comes in.

A queue that is empty, or slots that are busy, prove nothing either way; nor do they do any harm.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from workers.telemetry import log

EVERY_S = 1.0
#: EX_TEMPFAIL: start me again.
_EXIT_CODE = 75


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: messages that wait in the broker, whether a slot is free, and how many messages ever came in."""

    waiting: int
    is_free: bool
    heard: int


@dataclass(slots=True)
class Ear:
    """How long a worker has heard nothing although it should have. Pure: the clock is an argument."""

    _heard: int = -1
    _looked_at: float = 0.0
    silent_s: float = 0.0

    def look(self, sample: Sample, now: float) -> float:
        """Seconds without interruption. A look that came late counts as one in time: a process that was suspended, or
        starved, has not been listening either."""
        is_silent = sample.waiting > 0 and sample.is_free and sample.heard == self._heard
        self.silent_s = self.silent_s + min(now - self._looked_at, 2 * EVERY_S) if is_silent else 0.0
        self._heard, self._looked_at = sample.heard, now
        return self.silent_s


@dataclass(slots=True)
class Watch:
    """Looks every second; when the worker has been deaf ``after_s``, calls ``replace``, once, and ends.

    ``sample`` may raise ``OSError`` while the broker is away: then there is nothing to hear.
    """

    sample: Callable[[], Sample]
    replace: Callable[[], None]
    after_s: float
    stop: threading.Event
    deaf_since: float | None = None

    def run(self) -> None:
        ear = Ear()
        while not self.stop.wait(EVERY_S):
            try:
                sample = self.sample()
            except OSError:
                ear = Ear()
                continue
            if ear.look(sample, time.monotonic()) >= self.after_s:
                self.deaf_since = time.monotonic() - ear.silent_s
                log("worker").error("worker_deaf", silent_s=round(ear.silent_s), waiting=sample.waiting)
                self.replace()
                return


def end_process(*, within_s: float) -> NoReturn:
    """Drain and exit as if asked from outside, so that whoever started this process starts it again; by force where
    the drain hangs, since what made it deaf may hold it up. Not from the main thread, whom the signal is for."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(within_s)
    log("worker").error("worker_ended_by_force", within_s=within_s)
    os._exit(_EXIT_CODE)

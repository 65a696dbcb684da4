"""What a worker says of itself, every few seconds, in ``app.workers``: for ``recordings status`` and nobody's decision.

A connection of its own, kept: the uploads' are busy exactly when a report is worth most. No report is worth a failure.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

EVERY_S = 5.0

_REPORT = """
SELECT app.report_worker(name => %(name)s, up_s => %(up_s)s, slots => %(slots)s, busy => %(busy)s,
    paused_code => %(paused_code)s, paused_s => %(paused_s)s, deaf_s => %(deaf_s)s, leaving => %(leaving)s)
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """How the worker is: slots in use, why and how long storing is paused, how long it has been deaf."""

    busy: int
    paused: tuple[str, float] | None = None
    deaf_s: float | None = None


@dataclass(slots=True)
class SelfReport:
    """``dsn`` logs in as ``recording_worker``. ``condition`` is asked before each report."""

    dsn: str = field(repr=False)
    name: str
    slots: int
    condition: Callable[[], Condition]
    stop: threading.Event
    started: float = field(default_factory=time.monotonic)
    _connection: psycopg.Connection[Any] | None = None

    def run(self) -> None:
        """Report until told to stop."""
        while True:
            self.say(leaving=False)
            if self.stop.wait(EVERY_S):
                return

    def leave(self) -> None:
        """Be forgotten: a worker that was stopped is not one that went silent. After ``run`` has ended."""
        self.say(leaving=True)
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def say(self, *, leaving: bool) -> None:
        """Once. A database that is away hears the next one."""
        now = self.condition()
        code, paused_s = now.paused or (None, None)
        report = {
            "name": self.name,
            "up_s": time.monotonic() - self.started,
            "slots": self.slots,
            "busy": now.busy,
            "paused_code": code,
            "paused_s": paused_s,
            "deaf_s": now.deaf_s,
            "leaving": leaving,
        }
        try:
            connection = self._connected()
            with connection.transaction():
                # For this transaction: a pooler takes no options, and would hand on what is set for longer.
                connection.execute("SET LOCAL statement_timeout = '5s'")
                connection.execute(_REPORT, report)
        except psycopg.Error:
            self.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self.dsn,
                autocommit=True,
                application_name="recordings-worker-report",
                connect_timeout=5,
                tcp_user_timeout=10_000,
                keepalives_idle=15,
                prepare_threshold=None,
            )
        return self._connection

"""What an operator does about failed uploads, as login ``recording_ops``: retry them, or discard them.

The database's own functions do it: they decide under the row's lock and write the audit log. Nothing here, and nothing
that this login may do, changes a row.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

#: Committed together: few enough not to hold many rows, enough that 100,000 do not wait for 100,000 commits.
BATCH = 50
_DEADLOCKS = 5


class Action(StrEnum):
    """What an operator does with a failed upload: a function of the database each."""

    RETRY = "retry"
    DISCARD = "discard"

    @property
    def done(self) -> str:
        """What the function answers when it did it; anything else says why nothing was to be done."""
        return {Action.RETRY: "retried", Action.DISCARD: "discarded"}[self]


_ACT = {
    Action.RETRY: "SELECT id, public.retry_failed_upload(id, %s) FROM unnest(%s::uuid[]) AS wanted (id)",
    Action.DISCARD: "SELECT id, public.discard_failed_upload(id, %s) FROM unnest(%s::uuid[]) AS wanted (id)",
}

_ACTOR = "SELECT set_config('app.actor', %s, true)"


@dataclass(slots=True)
class Run:
    """Doing one thing to many uploads, some at a time. ``results`` counts what is committed, whatever happens next."""

    action: Action
    reason: str
    #: Who sits at the keyboard, as far as anybody can tell. The audit log keeps it beside the login, which is proven.
    actor: str
    #: Uploads a second at most; None: as fast as it goes.
    rate: float | None = None
    pause: Callable[[float], None] = time.sleep
    results: Counter[str] = field(default_factory=Counter)

    @property
    def touched(self) -> int:
        return self.results.total()

    def over(self, connection: psycopg.Connection[Any], ids: Iterator[UUID]) -> Iterator[Sequence[tuple[UUID, str]]]:
        """Act on each, in order, and give what came of them as it is committed. Needs an autocommit connection.

        ``OperationalError`` where the database goes away: what ``results`` counts is done, the batch at hand is done or
        not, and doing all of it again does nothing twice.
        """
        began = time.monotonic()
        size = BATCH if self.rate is None else max(1, min(BATCH, int(self.rate)))
        while batch := list(islice(ids, size)):
            if self.rate is not None:
                self.pause(max(0.0, began + self.touched / self.rate - time.monotonic()))
            answers = self._act(connection, batch)
            self.results.update(answer for _, answer in answers)
            yield answers

    def _act(self, connection: psycopg.Connection[Any], batch: list[UUID]) -> list[tuple[UUID, str]]:
        for attempt in range(1, _DEADLOCKS + 1):
            try:
                with connection.transaction():
                    connection.execute(_ACTOR, (self.actor,))
                    return connection.execute(_ACT[self.action], (self.reason, batch)).fetchall()
            except psycopg.errors.DeadlockDetected:
                # Rolled back whole; the other, who came upon some of the same rows in another order, has gone on.
                if attempt == _DEADLOCKS:
                    raise
        raise AssertionError

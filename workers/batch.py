"""Several uploads in one doorbell: claimed one by one, each as it starts, and given back when one of them takes long.

Nobody knows how large a recording is before it is fetched. So those behind one that turns out large, or whose provider
is silent, do not wait for it: after ``PATIENCE_S`` their marks are taken off, and the dispatcher rings for them again.
They have not been claimed, so it costs them nothing (law 10); a worker that dies with some in hand lets their marks
run out.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from workers.telemetry import log

#: How long one upload may keep the others of its doorbell waiting.
PATIENCE_S = 1.0
_LOOK_EVERY_S = 0.1

#: Takes the marks off these rows, under this grant.
GiveBack = Callable[[str, Sequence[UUID]], None]
#: The next of the doorbell, for whoever can begin it at once; None if there is none.
Following = Callable[[], UUID | None]


@dataclass(slots=True, eq=False)
class _Batch:
    """What one slot has in hand. Its slot takes from it, the watch may empty it: each id goes to one of them."""

    grant: str
    ids: deque[UUID]
    since: float
    given_back: list[UUID] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, now: float) -> UUID | None:
        with self.lock:
            self.since = now
            return self.ids.popleft() if self.ids else None

    def empty(self) -> list[UUID]:
        with self.lock:
            rest = list(self.ids)
            self.ids.clear()
            self.given_back += rest
        return rest

    def drop(self) -> list[UUID]:
        """Their marks will run out. What was given back before."""
        with self.lock:
            self.ids.clear()
        return self.given_back


@dataclass(slots=True)
class Batches:
    """Those of a worker process, and the thread that watches them. ``is_over`` says that nothing more is claimed."""

    give_back: GiveBack
    is_over: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _open: set[_Batch] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _watch: threading.Thread | None = None

    def answer(self, grant: str, ids: Iterable[UUID], carry_out: Callable[[UUID, Following], bool]) -> tuple[UUID, ...]:
        """Carry out each in turn, until one says that the doorbell is of no more use. Returns what was given back.

        ``carry_out`` may take those that follow into its own hands, one at a time, each as it begins it. Whatever it
        raises is raised here, and the rest is given back first.
        """
        batch = _Batch(grant, deque(ids), self.clock())
        if len(batch.ids) > 1:
            self._watch_over(batch)
        try:
            while (upload_id := self._next(batch)) is not None:
                if not carry_out(upload_id, lambda: self._next(batch)) and not self.is_over():
                    return tuple(batch.drop())
        finally:
            with self._changed:
                self._open.discard(batch)
            self._return(batch)
        return tuple(batch.given_back)

    def _next(self, batch: _Batch) -> UUID | None:
        return None if self.is_over() else batch.take(self.clock())

    def _watch_over(self, batch: _Batch) -> None:
        with self._changed:
            self._open.add(batch)
            if self._watch is None:
                self._watch = threading.Thread(target=self._run, name="batches", daemon=True)
                self._watch.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._open)
                batches = tuple(self._open)
            for batch in batches:
                if self.is_over() or self.clock() - batch.since > PATIENCE_S:
                    self._return(batch)
            time.sleep(_LOOK_EVERY_S)

    def _return(self, batch: _Batch) -> None:
        rest = batch.empty()
        if not rest:
            return
        try:
            self.give_back(batch.grant, rest)
        except (psycopg.Error, SQLAlchemyError) as error:
            # Their marks will run out.
            log("worker").warning("give_back_failed", uploads=len(rest), error=type(error).__name__)

"""The lease, renewed as bytes flow: called before each buffer is passed on, so that a stalled transfer loses it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from workers.drain import Drain
from workers.errors import Interrupted, LeaseLost
from workers.queue import Queue
from workers.uploads import Upload


@dataclass(slots=True)
class Heartbeat:
    """Renews at a third of the lease. Raises ``LeaseLost`` when the row is another's, ``Interrupted`` when draining."""

    queue: Queue
    grant: str
    upload: Upload
    drain: Drain
    clock: Callable[[], float] = time.monotonic
    _renewed_at: float = field(init=False)
    _due_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._renewed(self.clock())

    def __call__(self) -> None:
        if self.drain.over:
            raise Interrupted
        now = self.clock()
        if now < self._due_at:
            return
        lease_s = self.queue.lease.total_seconds()
        try:
            self.queue.renew(self.grant, self.upload)
        except psycopg.OperationalError as error:
            # The database is away; the lease is still ours for as long as it was granted, and not a moment longer.
            if now - self._renewed_at >= lease_s:
                raise LeaseLost from error
            # Such a try can take seconds: not before every buffer.
            self._due_at = now + lease_s / 12
        else:
            self._renewed(now)

    def _renewed(self, at: float) -> None:
        self._renewed_at = at
        self._due_at = at + self.queue.lease.total_seconds() / 3

"""The lease, renewed as bytes flow: called before each buffer is passed on, so that a transfer which stalls loses it."""

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

    def __post_init__(self) -> None:
        self._renewed_at = self.clock()

    def __call__(self) -> None:
        if self.drain.over:
            raise Interrupted
        lease_s = self.queue.lease.total_seconds()
        now = self.clock()
        if now - self._renewed_at < lease_s / 3:
            return
        try:
            self.queue.renew(self.grant, self.upload)
        except psycopg.OperationalError as error:
            # The database is away; the lease is still ours for as long as it was granted, and not a moment longer.
            if now - self._renewed_at >= lease_s:
                raise LeaseLost from error
        else:
            self._renewed_at = now

"""The lease, renewed as bytes flow: called before each buffer is passed on, so that a stalled transfer loses it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import psycopg

from workers.drain import Drain
from workers.errors import Interrupted, LeaseLost

Held = TypeVar("Held")
_Held_contra = TypeVar("_Held_contra", contravariant=True)


class Leases(Protocol[_Held_contra]):
    """Whoever gives leases on rows: the queue, the exports."""

    @property
    def lease(self) -> timedelta: ...

    def renew(self, grant: str, held: _Held_contra, /) -> None:
        """Own the row for another lease from now, or raise ``LeaseLost``."""


@dataclass(slots=True)
class Heartbeat(Generic[Held]):
    """Renews at a third of the lease, or ``every_s``. Raises ``LeaseLost`` when the row is another's, ``Interrupted``
    when draining."""

    leases: Leases[Held]
    grant: str
    held: Held
    drain: Drain
    clock: Callable[[], float] = time.monotonic
    every_s: float | None = None
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
        lease_s = self.leases.lease.total_seconds()
        try:
            self.leases.renew(self.grant, self.held)
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
        third_s = self.leases.lease.total_seconds() / 3
        self._due_at = at + (third_s if self.every_s is None else min(third_s, self.every_s))

"""What the dispatcher rings for beside uploads: sweeps of the storage, one at a time over all organisations, each once
in a while, or when an operator asks; and erasures, as soon as there are any."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

import psycopg

from workers.dispatch import clock_s
from workers.doorbell import ERASE_TASK, SWEEP_TASK, Bell, BrokerLostError
from workers.grants import GrantKey, mint
from workers.retention import Retention
from workers.settings import DispatcherSettings
from workers.telemetry import log

#: No organisation is rung for more often: neither the next slice of a large one, nor one whose sweeps fail.
PACE = timedelta(seconds=30)
_LOOK_EVERY_S = 1.0
#: Doorbells that wait, at most: sweeps are one, erasures are rung for again.
_MOST = 100
#: Between two looks over all organisations, while none is due.
_SEARCH_EVERY_S = 30.0
_log = log("dispatcher")

# At work is what a worker has, or what was rung for and not claimed yet.
_STATE = """
SELECT coalesce(bool_or(leased_until > now()
           OR rung_at > now() - %(pace)s AND (claimed_at IS NULL OR claimed_at < rung_at)), false),
       coalesce(bool_or(requested_at > coalesce(begun_at, '-infinity')), false)
FROM app.sweeps
"""

# Due are, the longest waiting first: a sweep that was asked for, one that is not at its end, one whose time has come. A
# new organisation is swept when it is as old: there is nothing to find before.
_NEXT = """
WITH next AS (
    SELECT o.id, s.requested_at > coalesce(s.begun_at, '-infinity') AS asked
    FROM public.organizations AS o LEFT JOIN app.sweeps AS s ON s.org_id = o.id
    WHERE (s.rung_at IS NULL OR s.rung_at <= now() - %(pace)s OR s.requested_at > s.rung_at)
      AND (coalesce(s.swept_at, o.created_at) <= now() - %(every)s
        OR s.requested_at > coalesce(s.begun_at, '-infinity')
        OR s.begun_at > coalesce(s.swept_at, '-infinity'))
    ORDER BY asked DESC NULLS LAST, s.rung_at NULLS FIRST, o.id LIMIT 1
)
INSERT INTO app.sweeps AS s (org_id, rung_at) SELECT id, now() FROM next
ON CONFLICT (org_id) DO UPDATE SET rung_at = excluded.rung_at
RETURNING org_id
"""


@dataclass(slots=True)
class Rota:
    """Whose turn it is. For the one dispatcher that leads: two at once could each find nobody at work."""

    every: timedelta
    pace: timedelta = PACE
    _searches_at: float = 0.0

    def next(self, connection: psycopg.Connection[Any]) -> UUID | None:
        """The organisation to be swept now, marked as rung for and committed; ``None`` while there is none, or one is
        at work. Costs a look at the sweeps; the search over all organisations is made when it can find something."""
        row = connection.execute(_STATE, {"pace": self.pace}).fetchone()
        is_at_work, is_asked = row or (False, False)
        if is_at_work:
            self._searches_at = 0.0
            return None
        if not is_asked and time.monotonic() < self._searches_at:
            return None
        found = connection.execute(_NEXT, {"every": self.every, "pace": self.pace}).fetchone()
        self._searches_at = 0.0 if found else time.monotonic() + _SEARCH_EVERY_S
        return found[0] if found else None


@dataclass(slots=True)
class Upkeep:
    """The leader's, for as long as it leads."""

    settings: DispatcherSettings
    key: GrantKey
    rota: Rota
    retention: Retention = field(default_factory=Retention)
    _looks_at: float = 0.0

    @classmethod
    def of(cls, settings: DispatcherSettings, key: GrantKey) -> Self:
        return cls(settings, key, Rota(timedelta(seconds=settings.sweep_every_s)))

    def tend(self, connection: psycopg.Connection[Any], bell: Bell) -> None:
        """Ring for what is due. Looks once a second at most; a broker that is away costs the pace."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + _LOOK_EVERY_S
        org_id = self.rota.next(connection)
        if org_id is not None and self._ring(connection, bell, SWEEP_TASK, [org_id]):
            _log.info("sweep_rung", org_id=str(org_id))
        erasing = self.retention.due(connection)
        if erasing and self._ring(connection, bell, ERASE_TASK, erasing):
            _log.info("erasure_rung", organisations=len(erasing))

    def _ring(self, connection: psycopg.Connection[Any], bell: Bell, task: str, organisations: Sequence[UUID]) -> bool:
        now_s, lifetime_s = clock_s(connection), self.settings.grant_lifetime_s
        asked = [
            (org_id, mint(self.key, org_id=org_id, subject=org_id, now_s=now_s, lifetime_s=lifetime_s))
            for org_id in organisations
        ]
        try:
            forgotten = bell.ring_for_upkeep(task, asked, most=_MOST)
        except BrokerLostError as error:
            _log.warning("broker_lost", task=task.removeprefix("recordings."), error=str(error))
            return False
        if forgotten:
            _log.warning("doorbells_unheard", task=task.removeprefix("recordings."), forgotten=forgotten)
        return True

"""Whose recordings are to be erased, as the dispatcher sees it: it has the database plan what is over, and says for
which organisations a worker is wanted. What it has rung for it keeps in mind and does not write down: a worker that
comes twice finds nothing to do."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

#: Time passes in days.
_PLAN_EVERY_S = 30.0
#: An organisation that has something left is rung for again.
_RING_EVERY_S = 10.0
#: Planned and not done, at most, but for those that fail: users are told at once, and the store is asked in time.
_MOST_PLANNED = 500
#: Organisations rung for at a look.
_MOST = 20

_PLAN = """
SELECT app.plan_retention(greatest(0, %(most)s - (
    SELECT count(*) FROM app.erasures WHERE erased_at IS NULL AND error_code IS NULL))::integer)
"""

# Suspended organisations too: what must go must go. ZIPs of exports go when nobody may fetch them any more.
_DUE = """
SELECT org_id FROM (
    SELECT org_id, min(next_attempt_at) AS since FROM app.erasures
    WHERE erased_at IS NULL AND next_attempt_at <= now() GROUP BY org_id
    UNION ALL
    SELECT org_id, min(created_at) FROM public.recording_exports
    WHERE object_key IS NOT NULL AND status IN ('failed', 'revoked', 'expired') GROUP BY org_id
) AS left_over GROUP BY org_id ORDER BY min(since) LIMIT 1000
"""


@dataclass(slots=True)
class Retention:
    """The leader's, for as long as it leads."""

    _plans_at: float = 0.0
    _rung_at: dict[UUID, float] = field(default_factory=dict)

    def due(self, connection: psycopg.Connection[Any]) -> Sequence[UUID]:
        """The organisations to ring for now, the longest waiting first."""
        now = time.monotonic()
        if now >= self._plans_at:
            self._plans_at = now + _PLAN_EVERY_S
            connection.execute(_PLAN, {"most": _MOST_PLANNED})
        self._rung_at = {org_id: at for org_id, at in self._rung_at.items() if at > now - _RING_EVERY_S}
        waiting = [row[0] for row in connection.execute(_DUE).fetchall() if row[0] not in self._rung_at][:_MOST]
        self._rung_at |= dict.fromkeys(waiting, now)
        return waiting

"""What the dispatcher does about downloads: it rings for those that were asked for, takes links away that have ended,
and ends requests that nobody could answer in time. It sees ids and times, and no link."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import psycopg

from workers.dispatch import Due, clock_s
from workers.doorbell import RENDITION_MARK, Asked, Bell, BrokerLostError
from workers.grants import GrantKey, mint
from workers.telemetry import log

#: A user waits for this.
_LOOK_EVERY_S = 0.1
#: A request that no worker has answered by then is rung for again.
RING_EVERY = timedelta(seconds=10)
#: A request that is not answered by then is over: nobody waits for it any more.
PATIENCE = timedelta(minutes=5)
#: Rung for and not answered, at most: the broker's list stays short, and whose turn it is is decided in PostgreSQL. Of
#: renditions fewer, and apart: nobody who wants a link waits for one.
_MOST, _MOST_RENDITIONS = 64, 32
_log = log("dispatcher")

# Organisations take turns, request by request. A row that somebody holds in an open transaction is passed over: it must
# not hold up everybody else's.
_DUE = """
WITH waiting AS MATERIALIZED (
    SELECT d.id, d.created_at, coalesce(d.dispatched_until > now(), false) AS rung,
           row_number() OVER (PARTITION BY d.org_id ORDER BY d.dispatched_until > now() DESC NULLS LAST, d.created_at)
               AS place
    FROM public.recording_downloads AS d
    JOIN public.organizations AS o ON o.id = d.org_id AND o.status = 'active'
    WHERE d.status = 'requested' AND d.kind = 'link' AND (d.format IS NOT NULL) = %(renditions)s
), due AS MATERIALIZED (
    SELECT id FROM waiting WHERE NOT rung ORDER BY place, created_at
    LIMIT greatest(0, %(most)s - (SELECT count(*) FROM waiting WHERE rung))
), free AS MATERIALIZED (
    SELECT d.id FROM due JOIN public.recording_downloads AS d ON d.id = due.id
    WHERE d.status = 'requested' AND d.kind = 'link' FOR NO KEY UPDATE OF d SKIP LOCKED
)
UPDATE public.recording_downloads AS d SET dispatched_until = now() + %(ring_every)s
FROM free WHERE d.id = free.id
RETURNING d.id, d.org_id
"""

_END = """
WITH late AS MATERIALIZED (
    SELECT id FROM public.recording_downloads
    WHERE status = 'requested' AND kind = 'link' AND created_at <= now() - %(patience)s
    FOR NO KEY UPDATE SKIP LOCKED
), ended AS MATERIALIZED (
    SELECT id FROM public.recording_downloads WHERE status = 'ready' AND expires_at <= now()
    FOR NO KEY UPDATE SKIP LOCKED
), unanswered AS (
    UPDATE public.recording_downloads AS d SET status = 'failed', error_code = 'not_answered'
    FROM late WHERE d.id = late.id RETURNING d.id
), over AS (
    UPDATE public.recording_downloads AS d SET status = 'expired' FROM ended WHERE d.id = ended.id RETURNING d.id
)
SELECT (SELECT count(*) FROM unanswered), (SELECT count(*) FROM over)
"""


class _Ring(Protocol):
    """One of the bell's ways to ring: returns how many doorbells it threw away for it."""

    def __call__(self, asked: Sequence[Asked], *, most: int) -> int: ...


@dataclass(slots=True)
class Reception:
    """The leader's, for as long as it leads."""

    key: GrantKey
    grant_lifetime_s: float
    _looks_at: float = 0.0

    def tend(self, connection: psycopg.Connection[Any], bell: Bell) -> None:
        """End what has ended, ring for what is due; ten times a second at most. With the broker away it rings later."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + _LOOK_EVERY_S
        self._end(connection)
        links = {"renditions": False, "most": _MOST, "ring_every": RING_EVERY}
        self._ring("download", bell.ring_for_downloads, connection, links)
        renditions = {"renditions": True, "most": _MOST_RENDITIONS, "ring_every": RENDITION_MARK}
        self._ring("rendition", bell.ring_for_renditions, connection, renditions)

    def _ring(self, task: str, ring: _Ring, connection: psycopg.Connection[Any], which: dict[str, Any]) -> None:
        rows = connection.execute(_DUE, which).fetchall()
        if not rows:
            return
        now_s, asked = clock_s(connection), []
        for row in (Due(*row) for row in rows):
            lifetime_s = self.grant_lifetime_s
            grant = mint(self.key, org_id=row.org_id, subject=row.id, now_s=now_s, lifetime_s=lifetime_s)
            asked.append((row.org_id, row.id, grant))
        try:
            forgotten = ring(asked, most=which["most"])
        except BrokerLostError as error:
            # Their marks stay: they are rung for again when those have run out.
            _log.warning("broker_lost", task=task, error=str(error))
            return
        if forgotten:
            _log.warning("doorbells_unheard", task=task, forgotten=forgotten)

    def _end(self, connection: psycopg.Connection[Any]) -> None:
        unanswered, over = connection.execute(_END, {"patience": PATIENCE}).fetchone() or (0, 0)
        if unanswered:
            _log.warning("downloads_unanswered", requests=unanswered)
        if over:
            _log.info("downloads_expired", links=over)

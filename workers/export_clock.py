"""What the dispatcher does about exports: it rings for those that wait, and ends those whose time is over. It sees ids
and times, and nothing of what is in them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from workers.dispatch import Due, clock_s
from workers.doorbell import Bell, BrokerLostError
from workers.grants import GrantKey, mint
from workers.telemetry import log

_LOOK_EVERY_S = 0.5
#: One that no worker has claimed by then is rung for again.
RING_EVERY = timedelta(seconds=30)
#: One that is not begun by then is over: nobody waits for it any more.
PATIENCE = timedelta(hours=1)
#: How many workers one export may lose: more, and it is the export that kills them.
_MOST_LOST = 3
#: Under way at once, over all organisations, each of which has one at a time: they share slots with uploads.
_MOST = 4
#: An export has the time of its grant; ten thousand recordings may take most of it.
LASTS_S = 3 * 3600.0
_log = log("dispatcher")

_DUE = """
WITH waiting AS MATERIALIZED (
    SELECT e.id, e.org_id, e.created_at,
           coalesce(e.dispatched_until > now(), false) OR coalesce(e.lease_expires_at > now(), false) AS taken
    FROM public.recording_exports AS e
    JOIN public.organizations AS o ON o.id = e.org_id AND o.status = 'active'
    WHERE e.status IN ('requested', 'processing')
), due AS MATERIALIZED (
    SELECT DISTINCT ON (w.org_id) w.id, w.created_at FROM waiting AS w
    WHERE NOT EXISTS (SELECT FROM waiting AS x WHERE x.org_id = w.org_id AND x.taken)
    ORDER BY w.org_id, w.created_at
), chosen AS MATERIALIZED (
    SELECT id FROM due ORDER BY created_at
    LIMIT greatest(0, %(most)s - (SELECT count(*) FROM waiting WHERE taken))
), free AS MATERIALIZED (
    SELECT e.id FROM chosen JOIN public.recording_exports AS e ON e.id = chosen.id
    WHERE e.status IN ('requested', 'processing') FOR NO KEY UPDATE OF e SKIP LOCKED
)
UPDATE public.recording_exports AS e SET dispatched_until = now() + %(ring_every)s
FROM free WHERE e.id = free.id
RETURNING e.id, e.org_id
"""

# The links of an expired one end by their own time, which is the same (reception.py).
_END = """
WITH late AS MATERIALIZED (
    SELECT id, CASE status WHEN 'requested' THEN 'not_answered' ELSE 'worker_lost' END AS code
    FROM public.recording_exports
    WHERE status = 'requested' AND created_at <= now() - %(patience)s
       OR status = 'processing' AND lease_expires_at <= now() AND failures >= %(most_lost)s - 1
    FOR NO KEY UPDATE SKIP LOCKED
), ended AS MATERIALIZED (
    SELECT id FROM public.recording_exports WHERE status = 'ready' AND expires_at <= now()
    FOR NO KEY UPDATE SKIP LOCKED
), failed AS (
    UPDATE public.recording_exports AS e SET status = 'failed', error_code = late.code, lease_expires_at = NULL
    FROM late WHERE e.id = late.id RETURNING e.id, late.code
), links AS (
    UPDATE public.recording_downloads AS d SET status = 'failed', error_code = failed.code
    FROM failed WHERE d.export_id = failed.id AND d.status = 'requested'
), over AS (
    UPDATE public.recording_exports AS e SET status = 'expired' FROM ended WHERE e.id = ended.id RETURNING e.id
)
SELECT (SELECT count(*) FROM failed), (SELECT count(*) FROM over)
"""


@dataclass(slots=True)
class ExportClock:
    """The leader's, for as long as it leads."""

    key: GrantKey
    _looks_at: float = 0.0

    def tend(self, connection: psycopg.Connection[Any], bell: Bell) -> None:
        """End what has ended, ring for what is due; twice a second at most. With the broker away it rings later."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + _LOOK_EVERY_S
        failed, over = connection.execute(_END, {"patience": PATIENCE, "most_lost": _MOST_LOST}).fetchone() or (0, 0)
        if failed or over:
            _log.info("exports_ended", failed=failed, expired=over)
        rows = connection.execute(_DUE, {"most": _MOST, "ring_every": RING_EVERY}).fetchall()
        if rows:
            self._ring(bell, [Due(*row) for row in rows], clock_s(connection))

    def _ring(self, bell: Bell, due: Sequence[Due], now_s: float) -> None:
        asked = [
            (row.org_id, row.id, mint(self.key, org_id=row.org_id, subject=row.id, now_s=now_s, lifetime_s=LASTS_S))
            for row in due
        ]
        try:
            forgotten = bell.ring_for_exports(asked, most=_MOST)
        except BrokerLostError as error:
            _log.warning("broker_lost", task="export", error=str(error))
            return
        if forgotten:
            _log.warning("doorbells_unheard", task="export", forgotten=forgotten)

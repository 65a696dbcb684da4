"""What the dispatcher does about downloads: it rings for those that were asked for, takes links away that have ended,
and ends requests that nobody could answer in time. It sees ids and times, and no link."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from workers.dispatch import Due, clock_s
from workers.doorbell import Bell, BrokerLostError
from workers.grants import GrantKey, mint
from workers.telemetry import log

#: A user waits for this.
_LOOK_EVERY_S = 0.1
#: A request that no worker has answered by then is rung for again.
RING_EVERY = timedelta(seconds=10)
#: A request that is not answered by then is over: nobody waits for it any more.
PATIENCE = timedelta(minutes=5)
#: Rung for in one look, at most. Organisations take turns, request by request.
_MOST = 64
_log = log("dispatcher")

_DUE = """
WITH waiting AS (
    SELECT id, created_at, row_number() OVER (PARTITION BY org_id ORDER BY created_at) AS place
    FROM public.recording_downloads
    WHERE status = 'requested' AND (dispatched_until IS NULL OR dispatched_until <= now())
), due AS (
    SELECT id FROM waiting ORDER BY place, created_at LIMIT %(most)s
)
UPDATE public.recording_downloads AS d SET dispatched_until = now() + %(ring_every)s
FROM due WHERE d.id = due.id AND d.status = 'requested'
RETURNING d.id, d.org_id
"""

_END = """
WITH unanswered AS (
    UPDATE public.recording_downloads SET status = 'failed', error_code = 'not_answered'
    WHERE status = 'requested' AND created_at <= now() - %(patience)s RETURNING id
), over AS (
    UPDATE public.recording_downloads SET status = 'expired'
    WHERE status = 'ready' AND expires_at <= now() RETURNING id
)
SELECT (SELECT count(*) FROM unanswered), (SELECT count(*) FROM over)
"""


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
        rows = connection.execute(_DUE, {"most": _MOST, "ring_every": RING_EVERY}).fetchall()
        now_s = clock_s(connection) if rows else 0.0
        try:
            for due in (Due(*row) for row in rows):
                lifetime_s = self.grant_lifetime_s
                grant = mint(self.key, org_id=due.org_id, subject=due.id, now_s=now_s, lifetime_s=lifetime_s)
                bell.ring_for_download(due.org_id, due.id, grant)
        except BrokerLostError as error:
            _log.warning("broker_lost", task="download", error=str(error))

    def _end(self, connection: psycopg.Connection[Any]) -> None:
        unanswered, over = connection.execute(_END, {"patience": PATIENCE}).fetchone() or (0, 0)
        if unanswered:
            _log.warning("downloads_unanswered", requests=unanswered)
        if over:
            _log.info("downloads_expired", links=over)

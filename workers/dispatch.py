"""Who is next: the dispatcher's statements. Fair between organisations, ordered within one (DESIGN section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

#: Whoever holds this advisory lock is the dispatcher; everybody else stands by.
_LEADER_LOCK = 7_263_002

NOBODY = UUID(int=0)

# in_flight: counted from live leases and marks, never from a stored counter, which could leak.
# turns:     the organisations that have anything pending, one index probe each (a skip scan), starting after the one
#            served last and going once around. It stops at as many as there is room for.
# picked:    of each, its most urgent due rows, as many as its cap leaves; then one of each, then a second of each, …
#            A backlog of 100,000 rows costs its organisation's neighbours one place a round.
# Priorities are probed one by one, so that rows which are not due yet are never walked through.
_PICK = """
WITH RECURSIVE in_flight AS MATERIALIZED (
    SELECT org_id, count(*) AS n FROM (
        SELECT org_id FROM public.recording_upload_queue
        WHERE status = 'processing' AND (lease_expires_at > now() OR dispatched_until > now())
        UNION ALL
        SELECT org_id FROM public.recording_upload_queue WHERE status = 'pending' AND dispatched_until > now()
    ) AS busy GROUP BY org_id
), room AS MATERIALIZED (
    SELECT greatest(0, %(window)s - coalesce(sum(n), 0))::integer AS n FROM in_flight
), turns (org_id, lap, turn) AS (
    SELECT %(after)s::uuid, 0, 0
    UNION ALL
    SELECT next.org_id, next.lap, turns.turn + 1
    FROM turns CROSS JOIN LATERAL (
        (SELECT org_id, turns.lap AS lap FROM public.recording_upload_queue
         WHERE status = 'pending' AND org_id > turns.org_id ORDER BY org_id LIMIT 1)
        UNION ALL
        (SELECT org_id, 1 AS lap FROM public.recording_upload_queue
         WHERE status = 'pending' AND turns.lap = 0 ORDER BY org_id LIMIT 1)
        ORDER BY lap LIMIT 1
    ) AS next
    WHERE turns.turn < (SELECT n FROM room) AND (next.lap = 0 OR next.org_id <= %(after)s::uuid)
), abandoned AS MATERIALIZED (
    SELECT id, org_id, priority, lease_expires_at FROM public.recording_upload_queue
    WHERE status = 'processing' AND lease_expires_at <= now()
      AND (dispatched_until IS NULL OR dispatched_until <= now())
), callers AS (
    SELECT org_id, min(turn) AS turn FROM (
        SELECT org_id, turn FROM turns WHERE turn > 0 UNION ALL SELECT org_id, 0 FROM abandoned
    ) AS having_work GROUP BY org_id
), due AS (
    SELECT d.id, c.org_id, c.turn, row_number() OVER (PARTITION BY c.org_id ORDER BY d.priority, d.due_at) AS round
    FROM callers AS c
    JOIN public.organizations AS o ON o.id = c.org_id AND o.status = 'active'
    LEFT JOIN in_flight AS f ON f.org_id = c.org_id
    CROSS JOIN LATERAL (
        SELECT q.id, q.priority, q.due_at FROM (
            SELECT q.id, q.priority, q.next_attempt_at AS due_at
            FROM generate_series(0, 9) AS p (priority) CROSS JOIN LATERAL (
                SELECT id, priority, next_attempt_at FROM public.recording_upload_queue
                WHERE status = 'pending' AND org_id = c.org_id AND priority = p.priority AND next_attempt_at <= now()
                  AND (dispatched_until IS NULL OR dispatched_until <= now())
                ORDER BY next_attempt_at LIMIT greatest(0, %(cap)s - coalesce(f.n, 0))
            ) AS q
            UNION ALL
            SELECT a.id, a.priority, a.lease_expires_at FROM abandoned AS a WHERE a.org_id = c.org_id
        ) AS q ORDER BY q.priority, q.due_at LIMIT greatest(0, %(cap)s - coalesce(f.n, 0))
    ) AS d
), picked AS (
    SELECT id, round, turn FROM due ORDER BY round, turn LIMIT (SELECT n FROM room)
), marked AS (
    UPDATE public.recording_upload_queue AS q SET dispatched_until = now() + %(expires)s
    FROM picked
    WHERE q.id = picked.id AND q.status IN ('pending', 'processing')
      AND (q.dispatched_until IS NULL OR q.dispatched_until <= now())
    RETURNING q.id, q.org_id, picked.round, picked.turn
)
SELECT id, org_id FROM marked ORDER BY round, turn
"""

_UNMARK = """
UPDATE public.recording_upload_queue SET dispatched_until = NULL WHERE id = ANY(%(ids)s) AND status = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A row whose turn it is."""

    id: UUID
    org_id: UUID


def lead(connection: psycopg.Connection[Any]) -> bool:
    """Become the dispatcher, for as long as this connection lives; False while another one is."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADER_LOCK,)).fetchone()
    return bool(row and row[0])


def pick(connection: psycopg.Connection[Any], *, after: UUID, window: int, cap: int, expires: timedelta) -> list[Due]:
    """Mark the rows whose turn it is as dispatched until ``expires`` from now; return them, committed, in their order.

    ``after`` is the organisation served last (``NOBODY`` at first): the turns begin behind it.
    """
    parameters = {"after": after, "window": window, "cap": cap, "expires": expires}
    return [Due(*row) for row in connection.execute(_PICK, parameters).fetchall()]


def unmark(connection: psycopg.Connection[Any], due: Sequence[Due]) -> None:
    """Take the marks back, because the doorbells could not be rung."""
    connection.execute(_UNMARK, {"ids": [row.id for row in due]})

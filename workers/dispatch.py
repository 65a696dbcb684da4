"""Who is next: the dispatcher's statements. Fair between organisations, ordered within one (DESIGN section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

from workers.doorbell import MOST_TOGETHER

#: Whoever holds this advisory lock is the dispatcher; everybody else stands by.
LEADER_LOCK = 7_263_002

NOBODY = UUID(int=0)

#: Doorbells of one pick that may all find a free slot.
_AT_ONCE = 32

# in_flight: counted from live leases and marks, never from a stored counter, which could leak.
# walk:      from the organisation after the one served last, once around, over those that have anything unsettled (a
#            skip scan: an index probe each). It ends when as many rows have been called for as there is room for. To
#            call, an organisation must be active, below its cap, and have something due: one that merely waits would
#            take the place of one that could be served, and with enough of them nobody would be. Sorted as the index of
#            due rows is, so that no other index is tempting, which holds settled rows too.
# most:      what one of them can get when each other one gets a turn.
# due:       of each that called, its most urgent rows, as many as its cap leaves; then a turn of each, then a second of
#            each, … A turn is one row, or as many as one doorbell may carry (most_together). A backlog of 100,000 rows
#            costs its organisation's neighbours one turn a round. Priorities are probed one by one, so that rows which
#            are not due yet are never walked through.
# locked:    without waiting: a row that somebody holds in an open transaction must not hold up everybody else's.
# At the end one row at least, which says how far the walk came: also when it found nothing it goes on from there.
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
), abandoned AS MATERIALIZED (
    SELECT id, org_id, priority, lease_expires_at FROM public.recording_upload_queue
    WHERE status = 'processing' AND lease_expires_at <= now()
      AND (dispatched_until IS NULL OR dispatched_until <= now())
), walk (org_id, lap, turn, calls, called) AS (
    SELECT %(after)s::uuid, 0, 0, 0, 0
    UNION ALL
    SELECT next.org_id, next.lap, walk.turn + 1, able.calls, walk.called + able.calls
    FROM walk CROSS JOIN LATERAL (
        SELECT org_id, lap FROM (
            (SELECT org_id, walk.lap AS lap FROM public.recording_upload_queue
             WHERE status = 'pending' AND org_id > walk.org_id ORDER BY org_id, priority, next_attempt_at LIMIT 1)
            UNION ALL
            (SELECT org_id, walk.lap FROM abandoned WHERE org_id > walk.org_id ORDER BY org_id LIMIT 1)
            UNION ALL
            (SELECT org_id, 1 FROM public.recording_upload_queue
             WHERE status = 'pending' AND walk.lap = 0 ORDER BY org_id, priority, next_attempt_at LIMIT 1)
            UNION ALL
            (SELECT org_id, 1 FROM abandoned WHERE walk.lap = 0 ORDER BY org_id LIMIT 1)
        ) AS ahead ORDER BY lap, org_id LIMIT 1
    ) AS next CROSS JOIN LATERAL (
        SELECT CASE WHEN may.n > 0 THEN least(may.n,
            (SELECT count(*) FROM abandoned AS a WHERE a.org_id = next.org_id)
          + (SELECT count(*) FROM (
                SELECT FROM generate_series(0, 9) AS p (priority) CROSS JOIN LATERAL (
                    SELECT FROM public.recording_upload_queue
                    WHERE status = 'pending' AND org_id = next.org_id AND priority = p.priority
                      AND next_attempt_at <= now() AND (dispatched_until IS NULL OR dispatched_until <= now())
                    LIMIT may.n) AS one
                LIMIT may.n) AS few))::integer ELSE 0 END AS calls
        FROM (SELECT CASE
                WHEN (SELECT o.status = 'active' FROM public.organizations AS o WHERE o.id = next.org_id)
                THEN least(%(together)s,
                     %(cap)s - coalesce((SELECT f.n FROM in_flight AS f WHERE f.org_id = next.org_id), 0))::integer
                ELSE 0 END AS n OFFSET 0) AS may
        OFFSET 0
    ) AS able
    WHERE walk.called < (SELECT n FROM room) AND (next.lap = 0 OR next.org_id <= %(after)s::uuid)
), most AS MATERIALIZED (
    SELECT greatest(room.n - max(walk.called), 0) + %(together)s AS n FROM walk, room GROUP BY room.n
), due AS (
    SELECT d.id, w.turn, row_number() OVER (PARTITION BY w.org_id ORDER BY d.priority, d.due_at) AS round
    FROM walk AS w
    LEFT JOIN in_flight AS f ON f.org_id = w.org_id
    CROSS JOIN LATERAL (SELECT least(%(cap)s - coalesce(f.n, 0), (SELECT n FROM most)) AS n) AS may
    CROSS JOIN LATERAL (
        SELECT q.id, q.priority, q.due_at FROM (
            SELECT q.id, q.priority, q.next_attempt_at AS due_at
            FROM generate_series(0, 9) AS p (priority) CROSS JOIN LATERAL (
                SELECT id, priority, next_attempt_at FROM public.recording_upload_queue
                WHERE status = 'pending' AND org_id = w.org_id AND priority = p.priority AND next_attempt_at <= now()
                  AND (dispatched_until IS NULL OR dispatched_until <= now())
                ORDER BY next_attempt_at LIMIT may.n
            ) AS q
            UNION ALL
            SELECT a.id, a.priority, a.lease_expires_at FROM abandoned AS a WHERE a.org_id = w.org_id
        ) AS q ORDER BY q.priority, q.due_at LIMIT may.n
    ) AS d
    WHERE w.calls > 0
), picked AS MATERIALIZED (
    SELECT id, (round - 1) / %(together)s AS round, turn, round AS place FROM due
    ORDER BY 2, turn, place LIMIT (SELECT n FROM room)
), locked AS MATERIALIZED (
    SELECT q.id, picked.round, picked.turn, picked.place
    FROM picked JOIN public.recording_upload_queue AS q ON q.id = picked.id
    WHERE q.status IN ('pending', 'processing') AND (q.dispatched_until IS NULL OR q.dispatched_until <= now())
    FOR NO KEY UPDATE OF q SKIP LOCKED
), marked AS (
    UPDATE public.recording_upload_queue AS q SET dispatched_until = now() + %(expires)s
    FROM locked WHERE q.id = locked.id
    RETURNING q.id, q.org_id, locked.round, locked.turn, locked.place
)
SELECT marked.id, marked.org_id, (SELECT org_id FROM walk ORDER BY turn DESC LIMIT 1),
       extract(epoch FROM clock_timestamp())::double precision
FROM (VALUES (1)) AS always LEFT JOIN marked ON true
ORDER BY marked.round, marked.turn, marked.place
"""

# It has one good plan, which takes as long to make as a pick of a few rows; PostgreSQL would make it anew each time,
# for what it cannot know of the parameters. Not for the session: the dispatcher's other statements do depend on theirs.
_PLANNED_ONCE, _AS_BEFORE = "SET plan_cache_mode = force_generic_plan", "RESET plan_cache_mode"

_UNMARK = """
UPDATE public.recording_upload_queue SET dispatched_until = NULL
WHERE id = ANY(%(ids)s) AND status IN ('pending', 'processing')
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A row whose doorbell must be rung: it is marked as dispatched already."""

    id: UUID
    org_id: UUID


@dataclass(frozen=True, slots=True)
class Picked:
    """The rows to ring for, in order; the organisation behind which the next pick begins; and the database's clock, in
    Unix seconds (``clock_s``)."""

    due: Sequence[Due]
    after: UUID
    now_s: float


def most_together(waiting: int) -> int:
    """How many uploads one doorbell may carry, when ``waiting`` doorbells hang in the broker.

    Where some hang, every slot has one in hand already: then several in one save messages and hold nobody up, and the
    more hang, the more. Where none does, a slot may be free: one each, so that as many as can begin at once.
    """
    return min(MOST_TOGETHER, 1 + waiting)


def together(due: Sequence[Due], *, waiting: int) -> list[list[Due]]:
    """What goes into one doorbell each: rows of one organisation, at the place of their first; as many as
    ``most_together`` allows, where those that are rung for before it wait as well."""
    rings: list[list[Due]] = []
    last: dict[UUID, int] = {}
    for row in due:
        place = last.get(row.org_id)
        if place is None or len(rings[place]) >= most_together(waiting + max(0, place - _AT_ONCE)):
            place = last[row.org_id] = len(rings)
            rings.append([])
        rings[place].append(row)
    return rings


def lead(connection: psycopg.Connection[Any]) -> bool:
    """Become the dispatcher, for as long as this connection lives; False while another one is."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LEADER_LOCK,)).fetchone()
    return bool(row and row[0])


def pick(
    connection: psycopg.Connection[Any], *, after: UUID, window: int, cap: int, expires: timedelta, together: int = 1
) -> Picked:
    """Mark the rows whose turn it is as dispatched until ``expires`` from now; return them, committed.

    The turns begin behind the organisation ``after``: ``NOBODY`` at first, from then on what the last pick returned. A
    turn is for ``together`` rows, which one doorbell may carry.
    """
    parameters = {"after": after, "window": window, "cap": cap, "expires": expires, "together": together}
    # Three round trips and not one: psycopg ends a pipeline with a Flush, after which PostgreSQL does not count the
    # session as idle any more, and a leader that hangs would keep the lead.
    connection.execute(_PLANNED_ONCE)
    rows = connection.execute(_PICK, parameters).fetchall()
    connection.execute(_AS_BEFORE)
    due = tuple(Due(row_id, org_id) for row_id, org_id, *_ in rows if row_id is not None)
    _, _, last, now_s = rows[0]
    return Picked(due, due[-1].org_id if due else last, now_s)


def clock_s(connection: psycopg.Connection[Any]) -> float:
    """The database's clock, in Unix seconds. Grants are minted by it, since they are judged by it: this host may be
    minutes off."""
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::double precision").fetchone()
    return float(row[0]) if row else 0.0


def unmark(connection: psycopg.Connection[Any], due: Sequence[Due]) -> None:
    """Take the marks back, because the doorbells could not be rung."""
    connection.execute(_UNMARK, {"ids": [row.id for row in due]})

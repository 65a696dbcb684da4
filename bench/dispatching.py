"""What fairness costs: the pick of 100 among a million due rows of 1,000 organisations, one of which has nine tenths of
them; and what people write, the 100 that have waited longest, for which it gets the index that suits it."""

import time
from datetime import timedelta
from typing import Any

import psycopg

from bench.fill import Filling, fill
from bench.ground import Ground
from bench.options import Options
from bench.sample import Results, Spread, percentile
from bench.table import number
from workers.dispatch import NOBODY, pick, unmark
from workers.dispatch import Due as DueRow
from workers.dispatcher import _SESSION

DATABASE = "dispatching"
AT_ONCE = 100
CAP = 32
_EXPIRES = timedelta(seconds=30)
_INDEX = "CREATE INDEX plain_due ON public.recording_upload_queue (next_attempt_at) WHERE status = 'pending'"
_PLAIN = """
WITH due AS (
    SELECT id FROM public.recording_upload_queue
    WHERE status = 'pending' AND next_attempt_at <= now() AND (dispatched_until IS NULL OR dispatched_until <= now())
    ORDER BY next_attempt_at LIMIT %(n)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE public.recording_upload_queue AS q SET dispatched_until = now() + %(expires)s FROM due WHERE q.id = due.id
RETURNING q.id, q.org_id
"""


def dispatching(ground: Ground, results: Results, options: Options) -> None:
    rows = 50_000 if options.quick else 1_000_000
    ground.new_database(DATABASE, template="recordings")
    try:
        with ground.admin(DATABASE) as connection:
            options.tell(f"dispatch           filling {rows:,} rows")
            fill(connection, Filling(rows, 1000, every=1, due_in_s=-3600, skewed=True))
            connection.execute(_INDEX)
            connection.execute("ANALYZE public.recording_upload_queue")
        with psycopg.connect(ground.database_url(DATABASE, "recording_dispatcher"), autocommit=True) as leader:
            leader.execute(_SESSION)
            _compare(leader, results, options, repetitions=30 if options.quick else 200)
            if not options.quick:  # a bar for a million rows is not judged by fewer
                _judge(results, options)
    finally:
        ground.drop_database(DATABASE)


def _compare(leader: psycopg.Connection[Any], results: Results, options: Options, *, repetitions: int) -> None:
    """In turn, so that both find the same table. What was marked is unmarked again, off the clock."""
    found: dict[str, list[float]] = {"fair": [], "plain": []}
    after = NOBODY
    for repetition in range(-5, repetitions):
        began = time.perf_counter()
        picked = pick(leader, after=after, window=AT_ONCE, cap=CAP, expires=_EXPIRES)
        fair_ms = (time.perf_counter() - began) * 1000
        after = picked.after
        unmark(leader, picked.due)
        began = time.perf_counter()
        rows = leader.execute(_PLAIN, {"n": AT_ONCE, "expires": _EXPIRES}).fetchall()
        plain_ms = (time.perf_counter() - began) * 1000
        unmark(leader, [DueRow(*row) for row in rows])
        if repetition >= 0 and len(picked.due) == AT_ONCE == len(rows):
            found["fair"].append(fair_ms)
            found["plain"].append(plain_ms)
    for way, values in found.items():
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        results.figures[f"dispatch, {way}, p50 ms"] = Spread(p50, min(values), max(values))
        results.figures[f"dispatch, {way}, p99 ms"] = Spread(p99, min(values), max(values))
        options.tell(f"dispatch of 100    {way:14} p50 {p50:.2f} ms, p99 {p99:.2f} ms ({len(values)} picks)")


def _judge(results: Results, options: Options) -> None:
    fair, plain = (results.figures[f"dispatch, {way}, p50 ms"].median for way in ("fair", "plain"))
    ratio = fair / plain
    results.figures["dispatch vs plain"] = Spread(ratio, ratio, ratio)
    results.figures["dispatch p99"] = results.figures["dispatch, fair, p99 ms"]
    options.tell(f"dispatch of 100    fair vs plain {number(ratio)} ×")

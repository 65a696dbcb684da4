"""How costs grow with the number of rows and of organisations.

    python -m bench.growth [--rows 10000,1000000] [--orgs 1,100,10000] [--quick] [--json FILE] [--picture FILE]

For each number of organisations a database, filled from size to size: a tenth of the rows (100,000 at most) waits, the
rest is stored. Measured are the whole system's uploads a second and its CPU (to the null sink), a claim, a pick of the
dispatcher among all that waits, and what ``recordings status`` reads.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import psycopg
from rich.table import Table
from sqlalchemy import create_engine

from bench.cells import NEAR, SMALL
from bench.fill import Filling, fill
from bench.ground import Ground, ground
from bench.machine import in_words, machine
from bench.options import teller, terminal
from bench.page import rows_of, write_into
from bench.peers.bare import mark_and_grant
from bench.peers.peer import Cell
from bench.peers.project import Project
from bench.peers.uploads import Uploads
from bench.picture import growth as picture
from bench.report import write
from bench.sample import percentile
from bench.table import number
from workers.dispatch import NOBODY, pick, unmark
from workers.dispatcher import _SESSION
from workers.progress import read_progress
from workers.queue import Queue

MOST_WAITING = 100_000
_MOVE = "UPDATE public.recording_upload_queue SET next_attempt_at = now() + %s WHERE status = 'pending'"


@dataclass(frozen=True, slots=True)
class Point:
    """Medians, in milliseconds but for the rate."""

    rows: int
    orgs: int
    uploads_s: float
    cpu_ms: float
    claim_ms: float
    dispatch_ms: float
    dispatch_p99_ms: float
    status_ms: float


MEASURES = ("cpu_ms", "claim_ms", "dispatch_ms", "status_ms")


def grow(made: Ground, sizes: Sequence[int], orgs: int, count: int, tell: Callable[[str], None]) -> Iterator[Point]:
    """One database for so many organisations, filled further from size to size."""
    name, present = f"growth_{orgs}", 0
    made.new_database(name, template="recordings")
    try:
        for rows in sorted(sizes):
            with made.admin(name) as connection:
                connection.execute("DELETE FROM public.organizations" if not present else "SELECT 1")
                tell(f"{rows:>10,} rows, {orgs:>6,} organisations: filling")
                every = max(10, rows // MOST_WAITING)
                fill(connection, Filling(rows, orgs, every=every), present=present)
                found = connection.execute("SELECT id FROM public.organizations ORDER BY id LIMIT 8").fetchall()
            present = rows
            yield measure(made.on(name, tuple(row[0] for row in found)), rows, orgs, count)
    finally:
        made.drop_database(name)


def measure(here: Ground, rows: int, orgs: int, count: int) -> Point:
    uploads_s, cpu_ms = whole(here, count)
    claim_ms = claims(here)
    status_ms = median(timed(lambda: status(here)) for _ in range(3))
    dispatches = picks(here)
    return Point(
        rows,
        orgs,
        uploads_s,
        cpu_ms,
        claim_ms,
        percentile(dispatches, 0.5),
        percentile(dispatches, 0.99),
        status_ms,
    )


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def whole(here: Ground, count: int) -> tuple[float, float]:
    """Uploads a second, and CPU of dispatcher and workers for each, in ms."""
    here.sweep("null")
    with Project().ready(here, Cell("growth", "null", SMALL, count, slots=NEAR)) as crew:
        crew.warm_up()
        measured = crew.backlog(count)
    return count / measured.seconds, measured.usage.cpu_s * 1000 / count


def claims(here: Ground) -> float:
    """One after the other, each a row that nobody has touched."""
    work = mark_and_grant(here, Uploads(here, SMALL).enqueue_all(60))
    url = here.database_url(here.database, "recording_worker").replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url)
    queue = Queue(engine, "bench", timedelta(seconds=3600))
    found = [timed(lambda one=one: queue.claim(one[0], UUID(one[1]), uuid4())) for one in work]  # type: ignore[misc]
    engine.dispose()
    with here.admin() as connection:
        # They would count as in flight, and an organisation may have 32.
        connection.execute("DELETE FROM public.recording_upload_queue WHERE worker = 'bench'")
    return median(found[10:])


def status(here: Ground) -> None:
    with psycopg.connect(here.database_url(here.database, "recording_ops"), autocommit=True) as connection:
        read_progress(connection)


def picks(here: Ground, repetitions: int = 60) -> list[float]:
    """With all that waits due at once; a whole window each, unmarked again off the clock."""
    _move(here, timedelta(hours=-1))
    found, after = [], NOBODY
    with psycopg.connect(here.database_url(here.database, "recording_dispatcher"), autocommit=True) as leader:
        leader.execute(_SESSION)
        for _ in range(repetitions):
            began = time.perf_counter()
            picked = pick(leader, after=after, window=128, cap=32, expires=timedelta(seconds=30))
            found.append((time.perf_counter() - began) * 1000)
            after = picked.after
            unmark(leader, picked.due)
    _move(here, timedelta(days=1))
    return found


def _move(here: Ground, to: timedelta) -> None:
    """All that waits; at any other time none of it may be due, or the workers would try to fetch it."""
    with here.admin() as connection:
        connection.execute(_MOVE, (to,))
        connection.execute("VACUUM ANALYZE public.recording_upload_queue")


HEADS = ("rows", "organisations", "uploads/s", "CPU ms", "claim ms", "dispatch ms", "p99", "status ms")


def cells(point: Point) -> list[str]:
    return [f"{point.rows:,}", f"{point.orgs:,}", *(number(value) for value in list(asdict(point).values())[2:])]


def table(points: Sequence[Point]) -> Table:
    made = Table(*HEADS)
    for column in made.columns:
        column.justify = "right"
    for point in points:
        made.add_row(*cells(point))
    return made


def page(points: Sequence[Point]) -> str:
    return rows_of(HEADS, [cells(point) for point in points])


def lines(points: Sequence[Point]) -> dict[str, list[tuple[float, float]]]:
    """By measure and organisations, for the picture."""
    found: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        for name in MEASURES:
            line = found.setdefault(f"{name.removesuffix('_ms')}, {point.orgs:,} organisations", [])
            line.append((point.rows, getattr(point, name)))
    return found


def main(argv: Sequence[str]) -> int:
    asked = parse(argv)
    console = terminal()
    tell, here = teller(console), machine()
    points: list[Point] = []
    with ground() as made:
        for orgs in _numbers(asked.orgs):
            sizes = [1000, 20_000] if asked.quick else _numbers(asked.rows)
            for point in grow(made, sizes, orgs, 60 if asked.quick else 600, tell):
                points.append(point)
                console.print(table(points[-1:]))
                write(asked.json, {"machine": here, "growth": [asdict(point) for point in points]})
    console.print(table(points))
    write_into(asked.page, {"growth": f"{in_words(here)}.\n\n{page(points)}"})
    if asked.picture:
        title = "milliseconds by rows of the queue"
        Path(asked.picture).write_text(picture(lines(points), title, in_words(here)))
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="How costs grow.")
    parser.add_argument("--rows", default="10000,1000000", help="sizes of the queue")
    parser.add_argument("--orgs", default="1,100,10000", help="numbers of organisations")
    parser.add_argument("--quick", action="store_true", help="small: does it run?")
    parser.add_argument("--json", default="", metavar="FILE")
    parser.add_argument("--picture", default="", metavar="FILE")
    parser.add_argument("--page", default="", metavar="FILE", help="renew the numbers of that page (Markdown)")
    return parser.parse_args(argv)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

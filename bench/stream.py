"""One stream of 64 MB to the null sink: our copy, boto3's ``upload_fileobj``, and curl, which only reads."""

import json
import subprocess
import sys

from bench.cells import LARGE
from bench.ground import Ground
from bench.options import Options
from bench.peers.commands import Curl
from bench.peers.peer import Cell
from bench.peers.project import SETTINGS
from bench.sample import Results, Spread
from bench.table import number
from workers.embedded.children import ROOM
from workers.embedded.process import basics

FILES = 6
WAYS = ("project", "upload_fileobj", "curl")


def stream(ground: Ground, results: Results, options: Options) -> None:
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for round_number in range(options.rounds):
        for way in WAYS if round_number % 2 == 0 else reversed(WAYS):
            rate = _curl(ground) if way == "curl" else _one(ground, way)
            found[way].append(rate)
            options.tell(f"64 MB stream       {way:14} {rate:8.0f} MB/s")
    for way in WAYS:
        results.figures[f"stream, {way}, MB/s"] = _spread(found[way])
    results.figures["stream vs curl"] = ratio(found["project"], found["curl"])
    results.figures["stream vs upload_fileobj"] = ratio(found["project"], found["upload_fileobj"])
    options.tell(f"64 MB stream       vs curl {number(results.figures['stream vs curl'].median)}")


def ratio(ours: list[float], theirs: list[float]) -> Spread:
    """Of medians; its range is that of the rounds."""
    by_round = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Spread(_spread(ours).median / _spread(theirs).median, min(by_round), max(by_round))


def _spread(values: list[float]) -> Spread:
    spread = Spread.of(values)
    assert spread is not None  # noqa: S101 - a round at least
    return spread


def _one(ground: Ground, way: str) -> float:
    """In a process of its own, which times itself: start-up does not count."""
    urls = [ground.place.url(LARGE, number) for number in range(FILES)]
    environment = basics() | ground.environment("worker") | ground.s3("null") | SETTINGS
    argv = [sys.executable, "-m", "bench.stream_one", way, *urls]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, cwd=ROOM)
    return FILES * LARGE / 1e6 / float(json.loads(done.stdout))


def _curl(ground: Ground) -> float:
    """One after the other on one connection."""
    cell = Cell("stream", "null", LARGE, FILES)
    with Curl(parallel=1).ready(ground, cell) as running:
        running.backlog(1)
        return FILES * LARGE / 1e6 / running.backlog(FILES).seconds

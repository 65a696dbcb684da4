"""Many uploads by the same processes: their memory must not grow with the count.

    python -m bench.soak [COUNT] [--json FILE]

In batches; after each, the workers' and the dispatcher's resident memory. It has grown if the last third's median is
more than ``ALLOWED_MB`` above the second third's: exit status 1, as if an upload is not stored.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psutil
from rich.console import Console

from bench.cells import NEAR, SMALL
from bench.ground import Ground, ground
from bench.machine import in_words, machine
from bench.options import teller, terminal
from bench.page import rows_of, write_into
from bench.peers.peer import Cell
from bench.peers.project import Crew, Project
from bench.report import write
from bench.table import number

BATCH = 2500
ALLOWED_MB = 8.0


@dataclass(frozen=True, slots=True)
class Look:
    """After so many uploads: resident MB by process."""

    uploads: int
    uploads_s: float
    rss_mb: dict[str, float]


def look(crew: Crew, uploads: int, uploads_s: float) -> Look:
    memory = {name: psutil.Process(process.pid).memory_info().rss / 1e6 for name, process in crew.processes.items()}
    return Look(uploads, uploads_s, memory)


def growth_mb(looks: Sequence[Look]) -> dict[str, float]:
    """By process: how far the last third's median is above the second third's. The first third is for caches that fill
    once. Empty for fewer than three."""
    third = len(looks) // 3
    if not third:
        return {}
    middle, last = looks[third : 2 * third], looks[-third:]
    return {
        name: median(one.rss_mb[name] for one in last) - median(one.rss_mb[name] for one in middle)
        for name in looks[0].rss_mb
    }


def page(looks: Sequence[Look], growth: dict[str, float]) -> str:
    """After a third, two thirds and all."""
    chosen = [looks[len(looks) * part // 3 - 1] for part in (1, 2, 3)] if len(looks) >= 3 else looks
    names = list(growth)
    rows = [
        (f"{one.uploads:,}", number(one.uploads_s), *(f"{one.rss_mb[name]:.1f}" for name in names)) for one in chosen
    ]
    grown = ("growth", "", *(f"{growth[name]:+.1f}" for name in names))
    return rows_of(("uploads", "uploads/s", *(f"{name}, MB" for name in names)), [*rows, grown])


def soak(here: Ground, count: int, tell: Console) -> list[Look]:
    here.sweep("null")
    batch = min(BATCH, max(1, count // 6))
    looks: list[Look] = []
    with Project().ready(here, Cell("soak", "null", SMALL, count, slots=NEAR)) as crew:
        crew.warm_up()
        for done in range(batch, count + 1, batch):
            measured = crew.backlog(batch)
            looks.append(look(crew, done, batch / measured.seconds))
            shown = ", ".join(f"{name} {mb:.1f}" for name, mb in looks[-1].rss_mb.items())
            teller(tell)(f"{done:>8,} uploads  {looks[-1].uploads_s:6.0f} /s  MB: {shown}")
    return looks


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Does memory grow with the count?")
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--json", default="", metavar="FILE")
    parser.add_argument("--page", default="", metavar="FILE", help="renew the numbers of that page (Markdown)")
    asked = parser.parse_args(argv)
    console, here = terminal(), machine()
    console.print(f"on {in_words(here)}", highlight=False)
    with ground() as made:
        looks = soak(made, asked.count, console)
    growth = growth_mb(looks)
    for name, mb in growth.items():
        console.print(f"{name}: {mb:+.1f} MB from the second third to the last", highlight=False)
    looked = [{"uploads": one.uploads, "uploads_s": one.uploads_s, "rss_mb": one.rss_mb} for one in looks]
    write(asked.json, {"machine": here, "looks": looked, "growth_mb": growth})
    write_into(asked.page, {"soak": f"{in_words(here)}.\n\n{page(looks, growth)}"})
    grown = [name for name, mb in growth.items() if mb > ALLOWED_MB]
    console.print(f"grown: {', '.join(grown)}" if grown else f"no growth beyond {ALLOWED_MB:.0f} MB")
    return 1 if grown else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

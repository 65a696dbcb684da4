"""``python -m tests.isolation.mutants`` (``make mutants``): the proof of the proof. Everything that keeps organisations
apart is taken away or weakened, one thing at a time, and the matrix or a static check must notice.

Exit code 0 only if every mutant is noticed. Each process has a PostgreSQL of its own, for roles belong to the cluster.
"""

import argparse
import multiprocessing
import os
import queue
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeAlias

import psycopg

from schema.migrate import migrate
from tests.isolation.mutation.report import lines
from tests.isolation.mutation.verdict import Verdict, enumerated, judge, untouched
from workers.embedded.postgres import Postgres

PROGRESS_S = 10.0

Told: TypeAlias = "multiprocessing.Queue[Verdict | str | None]"


def main() -> int:
    options = arguments()
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    told: Told = context.Queue()
    processes: list[BaseProcess] = [
        context.Process(target=work, args=(told, number, options.processes, options.only), daemon=True)
        for number in range(options.processes)
    ]
    for process in processes:
        process.start()
    verdicts, fault = collect(told, processes, show_static=options.show_static)
    for process in processes:
        if fault:
            process.terminate()
        process.join()
    if fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    for line in lines(verdicts, time.monotonic() - began):
        tell(line)
    return 0 if verdicts and all(verdict.killed for verdict in verdicts) else 1


def work(told: Told, number: int, of: int, only: str) -> None:
    """Every n-th mutant, in a database of its own. The last word is None, or what went wrong."""
    try:
        with tempfile.TemporaryDirectory() as folder, Postgres.temporary(Path(folder)) as postgres:
            migrate(postgres.admin_url)
            with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
                untouched(connection)
                chosen = [mutant for mutant in enumerated(connection) if only in f"{mutant.kind} {mutant.name}"]
                for mutant in chosen[number::of]:
                    told.put(judge(connection, mutant))
        told.put(None)
    except Exception as error:  # noqa: BLE001 the parent says it, and counts the run as failed
        told.put(f"{type(error).__name__}: {error}")


def collect(told: Told, processes: list[BaseProcess], *, show_static: bool) -> tuple[list[Verdict], str]:
    """What all of them said, until each has said its last word or one has failed."""
    verdicts: list[Verdict] = []
    ended, shown = 0, time.monotonic()
    while ended < len(processes):
        try:
            word = told.get(timeout=PROGRESS_S)
        except queue.Empty:
            if any(process.exitcode for process in processes):
                return verdicts, "a process died without a word"
            continue
        if isinstance(word, str):
            return verdicts, word
        if word is None:
            ended += 1
            continue
        verdicts.append(word)
        if not word.matrix and (show_static or not word.killed):
            tell(f"{'by a static check alone' if word.killed else 'survived'}: {word.mutant.kind}: {word.mutant.name}")
        if time.monotonic() - shown > PROGRESS_S:
            shown = time.monotonic()
            kinds = Counter(verdict.killed for verdict in verdicts)
            tell(f"{len(verdicts):,} made, {kinds[True]:,} noticed, {kinds[False]:,} survived")
    return verdicts, ""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mutants", description="Everything that isolates, weakened; all of it noticed."
    )
    parser.add_argument("--processes", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="only mutants whose kind or name has this in it")
    parser.add_argument("--show-static", action="store_true", help="name those that no behaviour shows")
    return parser.parse_args()


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

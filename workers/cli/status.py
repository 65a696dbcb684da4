"""``recordings status``: how the queue stands."""

import json
import time
from typing import Annotated

import psycopg
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, as_operator
from workers.progress import Progress, read_progress

_EVERY_S = 1.0


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, every second.")] = False,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show uploads by organisation, the workers, what is late, and what has failed, as recording_ops."""
    with as_operator(state) as connection:
        if json_out:
            typer.echo(json.dumps(read_progress(connection).as_json()))
        elif watch:
            _watch(connection)
        else:
            Console().print(_view(read_progress(connection)))


def _watch(connection: psycopg.Connection) -> None:
    with Live(_view(read_progress(connection)), refresh_per_second=4) as live:
        try:
            while True:
                time.sleep(_EVERY_S)
                live.update(_view(read_progress(connection)))
        except KeyboardInterrupt:
            return


def _view(progress: Progress) -> Group:
    shown = *_workers(progress), *_failures(progress)
    return Group(_organisations(progress), *shown, *_refused(progress), _next(progress))


def _organisations(progress: Progress) -> Table:
    table = Table("organisation", "pending", "processing", "completed", "failed", "")
    for column in table.columns[1:5]:
        column.justify = "right"
    for row in progress.organisations:
        counts = (row.pending, row.processing, row.completed, row.failed)
        table.add_row(row.name, *map(str, counts), row.status if row.status != "active" else "")
    return table


def _workers(progress: Progress) -> list[Table]:
    if not progress.workers:
        return []
    table = Table("worker", "slots in use", "seen", "")
    table.columns[1].justify = table.columns[2].justify = "right"
    for row in progress.workers:
        used = f"{row.busy} of {row.slots}" if row.slots is not None else str(row.processing)
        seen = f"{row.seen_s:.0f} s ago" if row.seen_s is not None else ""
        table.add_row(row.worker, used, seen, Text(row.remark, "yellow"))
    return [table]


def _failures(progress: Progress) -> list[Table]:
    if not progress.failures:
        return []
    table = Table("open failures", "rows", "given up")
    for row in progress.failures:
        table.add_row(row.code, str(row.open), str(row.given_up))
    return [table]


def _refused(progress: Progress) -> list[Text]:
    alarming = [row for row in progress.refused if row.is_alarming]
    if not alarming:
        return []
    kinds = ", ".join(f"{row.last_day} {row.kind}" for row in alarming)
    said = f"refused doorbells in the last day: {kinds}; the last one {alarming[0].last_s:.0f} s ago."
    return [
        Text(f"{said} Somebody else writes to Redis, or a key is wrong: see audit_log, docs/operations.md", "yellow")
    ]


def _next(progress: Progress) -> Text:
    overdue = sum(worker.overdue for worker in progress.workers)
    if not progress.organisations:
        return Text("no organisations yet: recordings orgs create NAME")
    if overdue:
        return Text(f"{overdue} uploads have outlived their lease: a worker died; another takes them over", "yellow")
    if progress.oldest_due_s is not None:
        return Text(f"the oldest due upload has waited {progress.oldest_due_s:.1f} s", "dim")
    return Text("nothing is due", "dim")

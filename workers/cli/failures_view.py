"""Failures as people read them. Times are UTC."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

import typer
from rich.box import SIMPLE_HEAD, Box
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from workers import failures as engine
from workers.failures import Failure, acts_next
from workers.history import History, Record
from workers.repair import Action, Run

_PLAIN_WIDTH = 160
_WIDE = 140
#: Below so many it is over before a bar can be read.
_WORTH_A_BAR = 200

_NOTHING_DONE = {
    "already_queued": "due already: a worker will take it",
    "already_running": "running: its attempt will settle it",
    "already_completed": "stored: there is nothing to do",
    "already_erased": "its call's recording was erased: there is nothing to do, and nothing may be done",
    "already_discarded": "discarded before",
    "not_failed": "has no open failure",
    "not_found": "no upload and no failure has this id",
}


def console() -> Console:
    """As wide as the terminal; where there is none, wide enough that no row of a table is broken in two."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def print_json(value: Record) -> None:
    typer.echo(json.dumps(value, default=lambda it: it.isoformat() if isinstance(it, datetime) else str(it)))


def fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def total(counts: Sequence[engine.Group]) -> int:
    return sum(group.failures for group in counts)


def groups_json(counts: Sequence[engine.Group]) -> list[Record]:
    return [asdict(group) for group in counts]


def at(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if when else ""


def minute(when: datetime | None) -> str:
    return f"{when.astimezone(UTC):%m-%d %H:%M}" if when else ""


def listed(found: Sequence[Failure], counts: Sequence[engine.Group], *, is_filtered: bool, width: int) -> Group:
    matched = total(counts)
    if not matched:
        return Group("no open failure matches" if is_filtered else "no open failures")
    parts: list[RenderableType] = [_wide(found) if width >= _WIDE else _narrow(found)]
    if matched > len(found):
        parts += [f"the oldest {len(found)} of {matched}: see more with --limit", grouped(counts)]
    return Group(*parts, *advice(counts))


def _wide(found: Sequence[Failure]) -> Table:
    table = _table("upload", "organisation", "code", "acts next", "failed", "first (UTC)", "last (UTC)", "then")
    for one in found:
        times = (f"{one.failure_count} x", minute(one.first_failed_at), minute(one.last_failed_at))
        table.add_row(str(one.upload_id), one.organisation, one.error_code, one.acts_next, *times, _then(one))
    return table


def _narrow(found: Sequence[Failure]) -> Table:
    """Three lines each, made for 80 columns."""
    table = _table("upload", "code", "failed (UTC)", box=None)
    for one in found:
        times = f"{one.failure_count} x since {minute(one.first_failed_at)}\nlast {minute(one.last_failed_at)}"
        named = f"{one.upload_id}\n  {one.organisation}\n  acts next: {one.acts_next}"
        table.add_row(named, one.error_code, f"{times}\n{_then(one)}")
    return table


def _then(one: Failure) -> str:
    return f"given up {minute(one.given_up_at)}" if one.given_up_at else f"next try {minute(one.next_retry_at)}"


def _table(*headers: str, box: Box | None = SIMPLE_HEAD) -> Table:
    table = Table(*headers, box=box, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    return table


def grouped(counts: Sequence[engine.Group]) -> Table:
    table = _table("organisation", "code", "acts next", "failures", "given up")
    for column in table.columns[3:]:
        column.justify = "right"
    for group in counts:
        table.add_row(group.organisation, group.error_code, _acts(group), str(group.failures), str(group.given_up))
    return table


def _acts(group: engine.Group) -> str:
    states = ([False] if group.given_up < group.failures else []) + ([True] if group.given_up else [])
    return ", ".join(dict.fromkeys(acts_next(group.error_code, is_given_up=given_up) for given_up in states))


def advice(counts: Sequence[engine.Group]) -> list[Text]:
    """What to do next: one line for each party that has to act, with the command of the largest group."""
    acts = {party: [group for group in counts if party in _acts(group)] for party in ("operator", "nobody", "retry")}
    lines = []
    if acts["operator"]:
        code = acts["operator"][0].error_code
        lines.append(f"mend the cause, then: recordings failures retry --code {code} --dry-run, then with --reason")
    if acts["nobody"]:
        code = acts["nobody"][0].error_code
        lines.append(f"no try can succeed; to close them: recordings failures discard --code {code} --dry-run")
    if acts["retry"] and not lines:
        lines.append("nothing to do: they are tried again by themselves")
    return [Text(line, "dim") for line in lines]


def dry_run(action: Action, counts: Sequence[engine.Group], *, without_failure: int) -> Group:
    matched = total(counts)
    parts: list[RenderableType] = [grouped(counts)] if counts else []
    if without_failure:
        parts.append(f"{without_failure} of the ids name nothing with an open failure")
    noun = "failure matches" if matched == 1 else "failures match"
    how = f"; to {action} them, give --reason instead of --dry-run" if matched else ""
    return Group(*parts, f"{matched} {noun}, nothing was done{how}")


def outcome(run: Run, answers: Sequence[tuple[UUID, str]], *, is_complete: bool) -> Group:
    parts: list[RenderableType] = [
        f"{id_}  {result}{f': {_NOTHING_DONE[result]}' if result in _NOTHING_DONE else ''}" for id_, result in answers
    ]
    if not answers:
        others = (
            f", {count} {result} ({_NOTHING_DONE.get(result, '')})"
            for result, count in sorted(run.results.items())
            if result != run.action.done
        )
        parts.append(f"{run.results[run.action.done]} {run.action.done}{''.join(others)}")
    if is_complete and run.results["retried"]:
        parts.append(Text("follow them with: recordings status", "dim"))
    return Group(*parts)


@contextmanager
def progress(count: int, *, is_shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, for those who wait; the callable moves it on."""
    errors = Console(stderr=True)
    columns = (TextColumn("{task.percentage:3.0f}%"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disabled = not (is_shown and errors.is_terminal and count >= _WORTH_A_BAR)
    with Progress(*columns, console=errors, disable=disabled, transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda done: bar.advance(task, done)


def history(found: History) -> Group:
    upload, grid = found.upload, Table.grid(padding=(0, 2))
    lease = f", held by {upload['worker']} until {at(upload['lease_expires_at'])}" if upload["lease_expires_at"] else ""
    grid.add_row("upload", str(upload["id"]))
    grid.add_row("organisation", f"{upload['organisation']}  {upload['org_id']}")
    grid.add_row("call", f"{upload['call_id']}, from {upload['provider']}, priority {upload['priority']}")
    grid.add_row("status", f"{upload['status']}{lease}")
    spent = f"{upload['failures']} of {upload['max_failures']} failures used up"
    grid.add_row("attempts", f"{upload['attempt']}, {spent}" + (", since a retry" if upload["retried_at"] else ""))
    if upload["status"] == "pending":
        grid.add_row("next try", at(upload["next_attempt_at"]))
    for failure in found.failures:
        grid.add_row("failure", _failure(failure))
    table = Table("at (UTC)", "what", "by", "details", box=None, padding=(0, 2, 0, 0))
    for moment, *cells in sorted(_events(found), key=lambda event: event[0]):
        table.add_row(at(moment), *cells)
    return Group(grid, "", table)


def _failure(failure: Record) -> str:
    then = (
        f"{failure['resolution']} {at(failure['resolved_at'])}"
        if failure["resolved_at"]
        else f"given up {at(failure['given_up_at'])}"
        if failure["given_up_at"]
        else f"tries again {at(failure['next_retry_at'])}"
    )
    acts = acts_next(failure["error_code"], is_given_up=failure["given_up_at"] is not None)
    who = "" if failure["resolved_at"] else f"; acts next: {acts}"
    return f"{failure['error_code']} {failure['failure_count']} x, {then}{who}: {failure['error_message']}"


def _events(found: History) -> Iterator[tuple[Any, ...]]:
    yield found.upload["created_at"], "enqueued", "", ""
    for attempt in found.attempts:
        times = (f"{name} {attempt[name + '_ms']} ms" for name in ("fetch", "store", "total") if attempt[name + "_ms"])
        what = " ".join(filter(None, (f"attempt {attempt['attempt']} {attempt['outcome']}", attempt["error_code"])))
        yield attempt["created_at"], what, attempt["worker"] or "", ", ".join(times)
    for action in found.audit:
        person = action["detail"].get("unverified_actor")
        by = f"{action['actor']} ({person})" if person else action["actor"]
        yield action["at"], action["action"].removeprefix("upload_"), by, action["reason"] or ""

"""``recordings failures retry`` and ``discard``: the same command, but for what it does."""

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer

from workers.cli import failures_view as view
from workers.cli.failure_filter import (
    CodeOption,
    GivenUpOption,
    OrgOption,
    ProviderOption,
    SinceOption,
    UntilOption,
    filter_of,
)
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, as_operator
from workers.failures import Filter, Group, groups, upload_ids
from workers.repair import Action, Run
from workers.telemetry import redact

#: More than so many at once, and a person is asked first.
MANY = 100
_REASON_CHARACTERS = 500


def command(action: Action) -> Callable[..., None]:
    def act(
        ids: Annotated[list[UUID] | None, typer.Argument(metavar="ID", help="Of failures or uploads.")] = None,
        reason: Annotated[str, typer.Option(help="Why: kept in the audit log. Needed, but for a dry run.")] = "",
        org: OrgOption = None,
        code: CodeOption = None,
        since: SinceOption = None,
        until: UntilOption = None,
        given_up: GivenUpOption = False,
        provider: ProviderOption = None,
        limit: Annotated[int | None, typer.Option(min=1, help="At most so many, oldest first.")] = None,
        rate: Annotated[float | None, typer.Option(min=0.01, help="At most so many a second.")] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, by organisation and code.")] = False,
        yes: Annotated[bool, typer.Option("--yes", help=f"Do not ask before more than {MANY}.")] = False,
        state: StateOption = DEFAULT_STATE,
        json_out: JsonOption = False,
    ) -> None:
        wanted = filter_of(org, code, since, until, provider, given_up=given_up)
        named = tuple(dict.fromkeys(ids or ()))
        _check(named, wanted, reason, dry_run=dry_run)
        with as_operator(state) as connection:
            counts = groups(connection, Filter(ids=named) if named else wanted, limit=limit)
            total = min(len(named), limit or len(named)) if named else view.total(counts)
            if dry_run:
                _dry_run(action, counts, total, json_out=json_out)
                return
            if not total:
                _nothing(action, json_out=json_out)
            _ask(action, total, yes=yes)
            run = Run(action, reason, actor(), rate)
            todo = islice(named, limit) if named else upload_ids(connection, wanted, limit=limit)
            _carry_out(connection, run, todo, total=total, each=bool(named), json_out=json_out)

    return act


def _check(named: tuple[UUID, ...], wanted: Filter, reason: str, *, dry_run: bool) -> None:
    if named and not wanted.is_empty:
        raise typer.BadParameter("give ids or a filter, not both", param_hint="ID")
    if not named and wanted.is_empty:
        hint = "say which: ids, or a filter such as --code or --org. Everything that was given up: --given-up"
        raise typer.BadParameter(hint, param_hint="ID")
    if not dry_run and not reason.strip():
        raise typer.BadParameter("say why: it is kept in the audit log", param_hint="--reason")
    if len(reason) > _REASON_CHARACTERS:
        raise typer.BadParameter(f"has at most {_REASON_CHARACTERS} characters", param_hint="--reason")


def _dry_run(action: Action, counts: list[Group], asked: int, *, json_out: bool) -> None:
    total = view.total(counts)
    if json_out:
        view.print_json({"action": action, "dry_run": True, "matched": total, "groups": view.groups_json(counts)})
    else:
        view.console().print(view.dry_run(action, counts, without_failure=asked - total))
    if not total:
        raise typer.Exit(1)


def _nothing(action: Action, *, json_out: bool) -> None:
    if json_out:
        view.print_json({"action": action, "dry_run": False, "matched": 0, "results": {}, "is_complete": True})
    else:
        view.console().print("nothing matched, nothing was done: see recordings failures list")
    raise typer.Exit(1)


def _ask(action: Action, total: int, *, yes: bool) -> None:
    if yes or total <= MANY:
        return
    if not sys.stdin.isatty():
        view.fail(f"{total} uploads match, and nobody is here to be asked: look with --dry-run, then add --yes", 2)
    typer.confirm(f"{action} {total} uploads?", abort=True, err=True)


def _carry_out(
    connection: psycopg.Connection[Any], run: Run, todo: Iterator[UUID], *, total: int, each: bool, json_out: bool
) -> None:
    """``each``: say what came of every single one, as for those who named them."""
    answers: list[tuple[UUID, str]] = []
    trouble = None
    try:
        with view.progress(total, is_shown=not json_out) as advance:
            for batch in run.over(connection, todo):
                advance(len(batch))
                answers += batch if each else ()
    except psycopg.OperationalError as error:
        trouble = f"the database went away: {redact(str(error).strip().partition(chr(10))[0])}"
    except KeyboardInterrupt:
        trouble = "interrupted"
    if json_out:
        told = {"uploads": [{"id": str(id_), "result": result} for id_, result in answers]} if each else {}
        done: dict[str, Any] = {"matched": total, "results": dict(run.results), "is_complete": trouble is None}
        view.print_json({"action": run.action, "dry_run": False} | done | told)
    else:
        view.console().print(view.outcome(run, answers, is_complete=trouble is None))
    if trouble:
        view.fail(f"{trouble}. {run.touched} of {total} were done; running the same again is safe", 1)
    if run.results["not_found"]:
        raise typer.Exit(1)

"""``recordings storage``: what sweeps of the bucket found, and sweeping now, as recording_ops."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.text import Text

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, as_operator
from workers.storage_report import Finding, is_swept, read_findings, request_sweep
from workers.sweep import Action, Code

app = typer.Typer(help="The storage beside the rows, as recording_ops.", no_args_is_help=True)

_LOOK_EVERY_S = 0.2
_TO_DO = {
    Code.MISSING: "the recording is gone from the bucket: restore it from a backup or a version",
    Code.DIFFERS: "the object is not what was stored: see who writes to the bucket",
    Code.UNKNOWN: "not put there by this system: find out by whom, and move it",
    Code.ORPHANED: "look at it under quarantine/, then delete it (reported: it is still where it was)",
    Code.STALE: "nothing: its parts are given back",
}


@app.command()
def findings(
    org: Annotated[UUID | None, typer.Option("--org", help="Of this organisation only.")] = None,
    code: Annotated[Code | None, typer.Option("--code", help="With this code only.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Those that are no longer so as well.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 1000,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show what sweeps found. Exits with 1 if a completed recording is missing or differs."""
    with as_operator(state) as connection:
        found = read_findings(connection, org_id=org, code=code, with_resolved=resolved, limit=limit)
    _show(found, json_out=json_out)


@app.command()
def sweep(
    org: Annotated[UUID, typer.Option("--org", help="The organisation.")],
    reason: Annotated[str, typer.Option(help="Why: kept in the audit log.")] = "asked for by hand",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for it, then show what is open.")] = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds to wait.")] = 600.0,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Compare an organisation's storage with its rows now, and not when its turn comes."""
    with as_operator(state) as connection:
        asked = request_sweep(connection, org, reason, actor())
        if not wait:
            said = {"org_id": str(org), "requested_at": asked.isoformat()}
            typer.echo(
                json.dumps(said) if json_out else f"asked for; then see: recordings storage findings --org {org}"
            )
            return
        _wait(connection, org, asked, within_s)
        found = read_findings(connection, org_id=org)
    _show(found, json_out=json_out)


def _wait(connection: psycopg.Connection[Any], org: UUID, asked: datetime, within_s: float) -> None:
    until = time.monotonic() + within_s
    while not is_swept(connection, org, asked):
        if time.monotonic() > until:
            typer.echo(f"error: not at its end within {within_s:g} s: are a dispatcher and a worker running?", err=True)
            raise typer.Exit(1)
        time.sleep(_LOOK_EVERY_S)


def _show(found: Sequence[Finding], *, json_out: bool) -> None:
    if json_out:
        typer.echo(json.dumps([_as_json(one) for one in found]))
    elif not found:
        typer.echo("nothing is wrong with the storage")
    else:
        _print(found)
    if any(one.is_loss for one in found):
        raise typer.Exit(1)


def _as_json(one: Finding) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(one).items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None else str(value)


def _print(found: Sequence[Finding]) -> None:
    """A line each, however long: keys are to be copied. Then what to do, once for each code."""
    console = Console(highlight=False, soft_wrap=True)
    for one in found:
        # Somebody else chose the name of an object that is not ours: it is shown, not obeyed.
        name = one.object_key.encode("unicode_escape").decode()
        done = "resolved" if one.resolved_at else one.action
        since = f"{one.first_seen_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        console.print(Text(f"{one.code:<16} {done:<11} {since}  {name}", "red" if one.is_loss else ""))
    over = {Action.RESTORED, Action.ERASED}
    for code in dict.fromkeys(one.code for one in found if not one.resolved_at and one.action not in over):
        console.print(Text(f"{code}: {_TO_DO[Code(code)]}", "dim"))

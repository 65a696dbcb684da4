"""``recordings downloads``: who asked for what, and taking a link away, as recording_ops."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, as_operator
from workers.download_report import Download, Export, read_downloads, read_exports
from workers.download_report import revoke as take_away

app = typer.Typer(help="Recordings that users asked for, and their links, as recording_ops.", no_args_is_help=True)


@app.command("list")
def list_(
    org: Annotated[UUID | None, typer.Option("--org", help="Of this organisation only.")] = None,
    call: Annotated[UUID | None, typer.Option("--call", help="Of this call only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show who asked for which recording, when and why; never the link."""
    with as_operator(state) as connection:
        found = read_downloads(connection, org_id=org, call_id=call, limit=limit)
    if json_out:
        typer.echo(json.dumps([asdict(one) for one in found], default=str))
    else:
        Console().print(_table(found) if found else "nobody has asked for a recording")


@app.command()
def exports(
    org: Annotated[UUID | None, typer.Option("--org", help="Of this organisation only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show who asked for many recordings at once, how far each ZIP is, and what became of it."""
    with as_operator(state) as connection:
        found = read_exports(connection, org_id=org, limit=limit)
    if json_out:
        typer.echo(json.dumps([asdict(one) for one in found], default=str))
    else:
        Console().print(_exports(found) if found else "nobody has asked for an export")


@app.command()
def revoke(
    download_id: Annotated[UUID, typer.Argument(help="Of a download, or of an export: from the two lists.")],
    reason: Annotated[str, typer.Option(help="Why: kept in the audit log.")],
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Take a link off its row. Who has copied it can use it until it expires: minutes. An export's ZIP is deleted."""
    with as_operator(state) as connection:
        result = take_away(connection, download_id, reason, actor())
    typer.echo(json.dumps({"id": str(download_id), "result": result}) if json_out else f"{download_id}: {result}")
    if result == "not_found":
        raise typer.Exit(1)


def _table(found: Sequence[Download]) -> Table:
    table = Table("id", "organisation", "call", "kind", "asked by", "why", "status", "at")
    for one in found:
        how = one.error_code or one.status
        at = f"{one.created_at:%Y-%m-%d %H:%M}"
        table.add_row(
            *(str(value) for value in (one.id, one.org_id, one.call_id, one.kind, one.requested_by)),
            *(harmless(one.reason), how, at),
        )
    return table


def _exports(found: Sequence[Export]) -> Table:
    table = Table("id", "organisation", "asked by", "why", "status", "recordings", "bytes", "at")
    for one in found:
        how, size = one.error_code or one.status, f"{one.size_bytes:,}" if one.size_bytes else ""
        table.add_row(
            *(str(value) for value in (one.id, one.org_id, one.requested_by)),
            *(harmless(one.reason), how, f"{one.recordings_done} of {one.recordings_total}", size),
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
    return table


def harmless(said: str) -> Text:
    """Users write it, operators' terminals show it: no markup, no escape sequence."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in said))

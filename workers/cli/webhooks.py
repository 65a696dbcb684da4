"""``recordings webhooks``: calls that a provider reported and no organisation claims, as recording_ops."""

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
from workers.unclaimed import Unclaimed, read_unclaimed
from workers.unclaimed import assign as assign_call
from workers.unclaimed import discard as discard_call

app = typer.Typer(help="Calls that no organisation claims, as recording_ops.", no_args_is_help=True)

IdArgument = Annotated[UUID, typer.Argument(metavar="ID", help="From: recordings webhooks list.")]
ReasonOption = Annotated[str, typer.Option(help="Why: kept in the audit log.")]


@app.command("list")
def list_(
    why: Annotated[str | None, typer.Option(help="Only these: agent_unknown, number_ambiguous, …")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, oldest first.")] = 100,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Show calls whose agent or number is nobody's, or more than one organisation's."""
    with as_operator(state) as connection:
        found = read_unclaimed(connection, why=why, limit=limit)
    if json_out:
        typer.echo(json.dumps([asdict(one) for one in found], default=str))
    else:
        Console().print(_table(found) if found else "every call that came in is some organisation's")


@app.command()
def assign(
    call_id: IdArgument,
    org_id: Annotated[UUID, typer.Argument(metavar="ORG", help="The organisation whose call it is.")],
    reason: ReasonOption,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Enqueue a kept call for an organisation. Its agent or number has to be registered still, or the next one waits
    as well."""
    with as_operator(state) as connection:
        result = assign_call(connection, call_id, org_id, reason, actor())
    _tell(call_id, result, json_out=json_out)


@app.command()
def discard(
    call_id: IdArgument, reason: ReasonOption, state: StateOption = DEFAULT_STATE, json_out: JsonOption = False
) -> None:
    """Delete a kept call, and its URL with it. The audit log keeps its ids."""
    with as_operator(state) as connection:
        result = discard_call(connection, call_id, reason, actor())
    _tell(call_id, result, json_out=json_out)


def _tell(call_id: UUID, result: str, *, json_out: bool) -> None:
    typer.echo(json.dumps({"id": str(call_id), "result": result}) if json_out else f"{call_id}: {result}")
    if result == "not_found":
        raise typer.Exit(1)


def _table(found: Sequence[Unclaimed]) -> Table:
    table = Table("id", "provider", "agent", "number", "why", "times", "since")
    for one in found:
        table.add_row(
            str(one.id),
            one.provider,
            _harmless(one.provider_agent_id),
            _harmless(one.phone_number),
            one.why,
            str(one.deliveries),
            f"{one.received_at:%Y-%m-%d %H:%M}",
        )
    return table


def _harmless(said: str | None) -> Text:
    """A provider's words, on an operator's terminal: no markup, no escape sequence."""
    return Text(
        "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in said or "")
    )

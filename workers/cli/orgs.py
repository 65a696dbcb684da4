"""``recordings orgs``: organisations, as administrator."""

import json
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, database_url

app = typer.Typer(help="Organisations, as administrator.", no_args_is_help=True)

_CREATE = "INSERT INTO public.organizations (id, name) VALUES (%s, %s) RETURNING id, name, status"
_LIST = "SELECT id, name, status FROM public.organizations ORDER BY name, id"
_SET = "UPDATE public.organizations SET status = %s WHERE id = %s RETURNING id, name, status"


def _run(state: Path, statement: str, parameters: tuple[object, ...] = ()) -> list[dict[str, str]]:
    with psycopg.connect(database_url("admin", state)) as connection:
        rows = connection.execute(statement, parameters).fetchall()
    return [{"id": str(row[0]), "name": row[1], "status": row[2]} for row in rows]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The organisation's name.")],
    org_id: Annotated[UUID | None, typer.Option("--id", help="Its id, if another system has given it one.")] = None,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Make an organisation."""
    (made,) = _run(state, _CREATE, (org_id or uuid4(), name))
    typer.echo(json.dumps(made) if json_out else f"{made['id']}  {made['name']}")


@app.command("list")
def list_(state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Show every organisation."""
    found = _run(state, _LIST)
    if json_out:
        typer.echo(json.dumps(found))
        return
    table = Table("id", "name", "status")
    for row in found:
        table.add_row(row["id"], row["name"], row["status"])
    Console().print(table if found else "no organisations yet: recordings orgs create NAME")


@app.command()
def suspend(org_id: UUID, state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Hold an organisation's uploads back. What it enqueues is kept, and goes on after: recordings orgs resume."""
    _set(state, "suspended", org_id, json_out=json_out)


@app.command()
def resume(org_id: UUID, state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Let a suspended organisation's uploads go on."""
    _set(state, "active", org_id, json_out=json_out)


def _set(state: Path, status: str, org_id: UUID, *, json_out: bool) -> None:
    found = _run(state, _SET, (status, org_id))
    if not found:
        typer.echo(f"error: no organisation has the id {org_id}: see recordings orgs list", err=True)
        raise typer.Exit(1)
    typer.echo(json.dumps(found[0]) if json_out else f"{found[0]['id']}  {found[0]['name']}: {status}")

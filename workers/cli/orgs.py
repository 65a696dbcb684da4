"""``recordings orgs``: organisations, as administrator."""

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID, uuid4

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, actor, database_url

_MOST_DAYS = 36_500

app = typer.Typer(help="Organisations, as administrator.", no_args_is_help=True)

_CREATE = "INSERT INTO public.organizations (id, name) VALUES (%s, %s) RETURNING id, name, status"
_LIST = "SELECT id, name, status, recording_retention_days FROM public.organizations ORDER BY name, id"
_SET = "UPDATE public.organizations SET status = %s WHERE id = %s RETURNING id, name, status"
# What is deleted, and when, is a decision that somebody will ask about.
_KEEP = """
WITH changed AS (
    UPDATE public.organizations SET recording_retention_days = %s WHERE id = %s
    RETURNING id, name, status, recording_retention_days AS days
), noted AS (
    INSERT INTO public.audit_log (org_id, actor, action, subject_id, detail)
    SELECT id, session_user, 'retention_set', id, jsonb_build_object('days', days, 'unverified_actor', %s::text)
    FROM changed
)
SELECT id, name, status, days FROM changed
"""


def _run(state: Path, statement: str, parameters: tuple[object, ...] = ()) -> list[dict[str, Any]]:
    with psycopg.connect(database_url("admin", state)) as connection:
        rows = connection.execute(statement, parameters).fetchall()
    names = ("id", "name", "status", "retention_days")
    return [dict(zip(names, (str(row[0]), *row[1:]), strict=False)) for row in rows]


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
    table = Table("id", "name", "status", "recordings kept")
    for row in found:
        table.add_row(row["id"], row["name"], row["status"], _kept(row["retention_days"]))
    Console().print(table if found else "no organisations yet: recordings orgs create NAME")


@app.command()
def suspend(org_id: UUID, state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Hold an organisation's uploads back. What it enqueues is kept, and goes on after: recordings orgs resume."""
    _set(state, "suspended", org_id, json_out=json_out)


@app.command()
def resume(org_id: UUID, state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Let a suspended organisation's uploads go on."""
    _set(state, "active", org_id, json_out=json_out)


@app.command()
def retention(
    org_id: UUID,
    days: Annotated[str, typer.Argument(help="Days, 1 to 36500, from when a recording was stored; or: forever.")],
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Say how long an organisation's recordings are kept. What is older is erased, from the next minute on."""
    wanted = None if days == "forever" else int(days) if days.isascii() and days.isdigit() else 0
    if wanted is not None and not 1 <= wanted <= _MOST_DAYS:
        raise typer.BadParameter(f"{days!r} is no time to keep: give days, 1 to {_MOST_DAYS}, or: forever")
    found = _run(state, _KEEP, (wanted, org_id, actor()))
    if not found:
        _unknown(org_id)
    typer.echo(json.dumps(found[0]) if json_out else f"{org_id}  {found[0]['name']}: kept {_kept(wanted)}")


def _kept(days: int | None) -> str:
    return "forever" if days is None else f"{days} days"


def _unknown(org_id: UUID) -> NoReturn:
    typer.echo(f"error: no organisation has the id {org_id}: see recordings orgs list", err=True)
    raise typer.Exit(1)


def _set(state: Path, status: str, org_id: UUID, *, json_out: bool) -> None:
    found = _run(state, _SET, (status, org_id))
    if not found:
        _unknown(org_id)
    typer.echo(json.dumps(found[0]) if json_out else f"{found[0]['id']}  {found[0]['name']}: {status}")

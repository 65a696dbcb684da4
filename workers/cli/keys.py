"""``recordings keys``: the keys that sign task grants."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from schema import grant_keys
from schema.grant_keys import InstalledKey
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, database_url
from workers.grants import GrantKey

if TYPE_CHECKING:
    from workers.embedded.state import State

app = typer.Typer(help="Keys of the task grants, as administrator.", no_args_is_help=True)
_REASON_CHARACTERS = 500
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


@app.command()
def rotate(
    overlap_s: Annotated[
        int, typer.Option("--overlap", min=0, help="Seconds for which the old keys still verify; 0 if one has leaked.")
    ] = 7200,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Make a new grant key, valid from now; the others run out after the overlap. The dispatcher needs it; that of
    recordings up is given it."""
    url = database_url("admin", state)
    stack = _stack_at(url, state)
    key = GrantKey.generate()
    grant_keys.install(url, key.kid, key.secret)
    if stack is not None:
        from workers.embedded.rekey import hand_over  # noqa: PLC0415 - only where the servers are embedded

        if not hand_over(stack, key.text, url):
            _fail("the dispatcher did not take the new key in time; the old ones are as they were. Try again", 1)
    retired = grant_keys.retire_others(url, key.kid, overlap=timedelta(seconds=overlap_s))
    # Where the stack has it, nobody needs to see it: recordings env --role dispatcher.
    shown = None if stack else key.text
    if json_out:
        said = {"kid": key.kid, "grant_key": shown, "retired": retired, "overlap_s": overlap_s}
        typer.echo(json.dumps(said | {"is_in_use": stack is not None}))
    elif stack:
        typer.echo(f"the dispatcher signs with {key.kid} now; {retired} other keys run out in {overlap_s} s")
    else:
        typer.echo(f"RECORDINGS_GRANT_KEY={key.text}")
        by = f"within {overlap_s} s" if overlap_s else "now: until then no doorbell is answered"
        typer.echo(f"Set it for every dispatcher and restart them {by}. {retired} other keys run out then.", err=True)


@app.command("list")
def list_(state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Show every grant key by its id and age, and which of them still verify."""
    found = grant_keys.installed(database_url("admin", state))
    if json_out:
        typer.echo(json.dumps([asdict(key) | {"is_live": key.is_live} for key in found], default=str))
        return
    table = Table("kid", "age", "verifies grants")
    for key in found:
        table.add_row(key.kid, _span(key.age_s), _standing(key))
    Console().print(table if found else "no grant key is installed: recordings keys rotate")


@app.command()
def revoke(
    kid: Annotated[str, typer.Argument(help="The key's id: see recordings keys list.")],
    reason: Annotated[str, typer.Option(help="Why: kept in the audit log.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also if nothing can be dispatched after it.")] = False,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """End a grant key now: doorbells and transfers under way with it are refused, and their rows rung for again."""
    if not reason.strip() or len(reason) > _REASON_CHARACTERS:
        raise typer.BadParameter(f"say why, in at most {_REASON_CHARACTERS} characters", param_hint="--reason")
    url = database_url("admin", state)
    found = {key.kid: key for key in grant_keys.installed(url)}
    if kid not in found:
        _fail(f"no grant key has the id {kid}: see recordings keys list", 1)
    if found[kid].is_live and not yes:
        _ask(kid, found, state, url)
    was_live = grant_keys.revoke(url, kid, reason=reason.strip())
    if json_out:
        typer.echo(json.dumps({"kid": kid, "was_live": was_live}))
    else:
        typer.echo(f"{kid} is revoked" if was_live else f"{kid} had run out already")


def _ask(kid: str, found: dict[str, InstalledKey], state: Path, url: str) -> None:
    stack = _stack_at(url, state)
    if stack is not None and GrantKey.parse(stack.secrets["grant_key"]).kid == kid:
        why = "the dispatcher signs with it"
    elif not any(key.is_live for key in found.values() if key.kid != kid):
        why = "no other key is live"
    else:
        return
    warning = f"{why}: without it nothing is uploaded until recordings keys rotate. To replace it at once: --overlap 0"
    if not sys.stdin.isatty():
        _fail(f"{warning}. To revoke it all the same: --yes", 2)
    typer.confirm(f"{warning}. Revoke {kid} all the same?", abort=True, err=True)


def _stack_at(url: str, state_dir: Path) -> "State | None":
    """The running ``recordings up`` of the folder, if this is its database."""
    from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
    from workers.embedded.state import load  # noqa: PLC0415

    found = load(state_dir)
    return found if found.is_supervised() and environment(found, "admin")["DATABASE_URL"] == url else None


def _standing(key: InstalledKey) -> str:
    if key.left_s is None:
        return "yes"
    return f"for {_span(key.left_s)} more" if key.is_live else f"no, for {_span(-key.left_s)}"


def _span(seconds: float) -> str:
    for unit_s, unit in ((_DAY_S, "days"), (_HOUR_S, "hours"), (_MINUTE_S, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)

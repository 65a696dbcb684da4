"""``recordings keys``: the keys that sign task grants."""

import json
from datetime import timedelta
from typing import Annotated

import typer

from schema import grant_keys
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, database_url
from workers.grants import GrantKey

app = typer.Typer(help="Keys of the task grants, as administrator.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Keys of the task grants, as administrator."""


@app.command()
def rotate(
    overlap_s: Annotated[int, typer.Option("--overlap", help="Seconds for which the old keys still verify.")] = 7200,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Make a new grant key, valid from now; the others run out after the overlap. The dispatcher needs the new one."""
    url = database_url("admin", state)
    key = GrantKey.generate()
    grant_keys.install(url, key.kid, key.secret)
    retired = grant_keys.retire_others(url, key.kid, overlap=timedelta(seconds=overlap_s))
    if json_out:
        typer.echo(json.dumps({"kid": key.kid, "grant_key": key.text, "retired": retired, "overlap_s": overlap_s}))
        return
    typer.echo(f"RECORDINGS_GRANT_KEY={key.text}")
    typer.echo(
        f"Set it for the dispatcher and restart that within {overlap_s} s; then the {retired} other keys run out.",
        err=True,
    )

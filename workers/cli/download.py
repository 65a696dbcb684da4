"""``recordings download``: a user's recording into a file, the way that an API would go."""

import json
import os
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import psycopg
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from schema.pooler import suited_to_poolers
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption, take_role
from workers.pickup import DownloadError, Link, Pickup, fetch
from workers.settings import DatabaseSettings, TokenSettings
from workers.signing_keys import KeysUnavailable
from workers.telemetry import configure_logging
from workers.tokens import TokenRefused, Verifier


def download(
    call_id: Annotated[UUID, typer.Argument(help="The call whose recording it is.")],
    token: Annotated[
        str,
        typer.Option(
            envvar="RECORDINGS_TOKEN", help="The user's JWT. Better as the variable: process lists show options."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file; recording-CALL_ID.FORMAT in this folder, if not said.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why: kept with the request.")] = "asked for by hand",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for the link.")] = 60.0,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Download a call's recording as a signed-in user, and compare its SHA-256 with what was stored."""
    configure_logging("WARNING")
    # Before anything is asked for, which stays on record.
    _check(out or Path("recording"), force=force or out is None)
    take_role("authenticator", state)
    try:
        user = Verifier.of(TokenSettings.load()).verify(token)
    except TokenRefused:
        raise typer.BadParameter("unauthorized: the token was refused, the line above says by which check") from None
    except KeysUnavailable as error:
        _fail(f"the token cannot be checked: {error}; is RECORDINGS_JWKS_URL right, and its server up?")
    database = DatabaseSettings.load()
    engine = suited_to_poolers(create_engine(database.sqlalchemy_url, poolclass=NullPool))
    try:
        with psycopg.connect(database.dsn, autocommit=True, prepare_threshold=None) as listener:
            pickup = Pickup(engine, listener, user)
            asked = pickup.ask(call_id, reason)
            link = pickup.wait(asked, within_s)
        target = out or Path(f"recording-{call_id}.{link.format}")
        _check(target, force=force)
        _fetch(link, target, quiet=json_out)
    except DownloadError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"the file cannot be written: {error.strerror}")
    said = {"download_id": str(asked), "file": str(target), "size_bytes": link.size_bytes, "sha256": link.sha256}
    typer.echo(
        json.dumps(said) if json_out else f"{target}: {link.size_bytes:,} bytes, SHA-256 {link.sha256} as stored"
    )


def _check(target: Path, *, force: bool) -> None:
    folder = target.absolute().parent
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise typer.BadParameter(f"{folder} cannot be written to: give --out another place")
    if target.is_dir():
        raise typer.BadParameter(f"{target} is a folder: give --out the name of a file")
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} is there already: give --out another name, or --force")


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


def _fetch(link: Link, target: Path, *, quiet: bool) -> None:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task("", total=link.size_bytes)
        fetch(link, target, lambda count: progress.advance(bar, count))

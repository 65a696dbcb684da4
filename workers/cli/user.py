"""Commands that act as a signed-in user: by their token, with the API's login."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import psycopg
import typer
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from schema.pooler import suited_to_poolers
from workers.cli.options import take_role
from workers.pickup import DownloadError, Pickup
from workers.settings import DatabaseSettings, TokenSettings
from workers.signing_keys import KeysUnavailable
from workers.tokens import TokenRefused, Verifier

TokenOption = Annotated[
    str,
    typer.Option(envvar="RECORDINGS_TOKEN", help="The user's JWT. Better as the variable: process lists show options."),
]
ReasonOption = Annotated[str, typer.Option(help="Why: kept with the request.")]
OutOption = Annotated[Path | None, typer.Option(help="The file; one in this folder, if not said.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")]


@contextmanager
def signed_in(token: str, state: Path) -> Iterator[Pickup]:
    """What the user may ask. What is refused, or cannot be written, ends the command with a sentence."""
    take_role("authenticator", state)
    try:
        user = Verifier.of(TokenSettings.load()).verify(token)
    except TokenRefused:
        raise typer.BadParameter("unauthorized: the token was refused, the line above says by which check") from None
    except KeysUnavailable as error:
        fail(f"the token cannot be checked: {error}; is RECORDINGS_JWKS_URL right, and its server up?")
    database = DatabaseSettings.load()
    engine = suited_to_poolers(create_engine(database.sqlalchemy_url, poolclass=NullPool))
    try:
        with psycopg.connect(database.dsn, autocommit=True, prepare_threshold=None) as listener:
            yield Pickup(engine, listener, user)
    except DownloadError as error:
        fail(str(error))
    except OSError as error:
        fail(f"the file cannot be written: {error.strerror}")


def fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)

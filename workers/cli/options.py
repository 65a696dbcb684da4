"""What several commands share: options, and the login that a command runs with."""

import os
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from workers.settings import DatabaseSettings

DEFAULT_STATE = Path(".recordings")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StateOption = Annotated[Path, typer.Option("--state", help="Folder that keeps the stack's data, ports and secrets.")]


def database_url(role: str, state_dir: Path = DEFAULT_STATE) -> str:
    """DATABASE_URL; where it is not set, this role's login on the embedded stack of the folder, if that is running."""
    if not os.environ.get("DATABASE_URL") or state_dir != DEFAULT_STATE:
        from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
        from workers.embedded.state import load  # noqa: PLC0415

        state = load(state_dir.expanduser().absolute())
        if state.is_supervised():
            return environment(state, role)["DATABASE_URL"]
    return DatabaseSettings.load().dsn


def as_operator(state_dir: Path = DEFAULT_STATE) -> psycopg.Connection[Any]:
    """A connection of ``recording_ops`` that commits each statement and prepares none: it may lead to a pooler."""
    return psycopg.connect(database_url("ops", state_dir), autocommit=True, prepare_threshold=None)

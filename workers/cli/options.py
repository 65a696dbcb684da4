"""What several commands share: options, and the login that a command runs with."""

import os
import pwd
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
    return _on_the_stack(role, state_dir).get("DATABASE_URL") or DatabaseSettings.load().dsn


def take_role(role: str, state_dir: Path = DEFAULT_STATE) -> None:
    """All of a role's settings into this process's environment, under the same conditions."""
    os.environ.update(_on_the_stack(role, state_dir))


def _on_the_stack(role: str, state_dir: Path) -> dict[str, str]:
    if os.environ.get("DATABASE_URL") and state_dir == DEFAULT_STATE:
        return {}
    from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
    from workers.embedded.state import load  # noqa: PLC0415

    state = load(state_dir.expanduser().absolute())
    return environment(state, role) if state.is_supervised() else {}


def as_operator(state_dir: Path = DEFAULT_STATE) -> psycopg.Connection[Any]:
    """A connection of ``recording_ops`` that commits each statement and prepares none: it may lead to a pooler."""
    return psycopg.connect(database_url("ops", state_dir), autocommit=True, prepare_threshold=None)


def actor() -> str:
    """Who sits here, as far as the system knows. A container may have no name for its user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"

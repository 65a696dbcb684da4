"""What several commands share: an option, and the login that a command runs with."""

import os
from pathlib import Path
from typing import Annotated

import typer

from workers.settings import DatabaseSettings

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def database_url(role: str) -> str:
    """DATABASE_URL; where it is not set, this role's login on the embedded stack in .recordings, if that is running."""
    if not os.environ.get("DATABASE_URL"):
        from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
        from workers.embedded.state import load  # noqa: PLC0415

        state = load(Path(".recordings").absolute())
        if state.is_supervised():
            return environment(state, role)["DATABASE_URL"]
    return DatabaseSettings.load().dsn

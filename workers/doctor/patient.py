"""What is known of the deployment before it is asked: the environment, or a folder of ``recordings up``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from schema import roles
from workers.settings import SettingsError

PASSWORDS = {
    "RECORDINGS_DISPATCHER_PASSWORD": roles.DISPATCHER,
    "RECORDINGS_WORKER_PASSWORD": roles.WORKER,
    "RECORDINGS_CALL_HANDLER_PASSWORD": roles.CALL_HANDLER,
    "RECORDINGS_OPS_PASSWORD": roles.OPERATOR,
    "RECORDINGS_AUTHENTICATOR_PASSWORD": roles.AUTHENTICATOR,
}
PARTS = ("DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET", "FLOWER_URL")


@dataclass(frozen=True, slots=True)
class Patient:
    """Settings by name. An empty one counts as not set."""

    settings: Mapping[str, str] = field(repr=False)

    @classmethod
    def of_environment(cls) -> Self:
        """Raises ``SettingsError`` where nothing says what there is to look at."""
        settings = {name: value for name, value in os.environ.items() if value}
        if not any(name in settings for name in PARTS):
            raise SettingsError(
                f"There is nothing to look at: set any of {', '.join(PARTS)}, best as an administrator, "
                "or give the folder of a running `recordings up` with --state."
            )
        return cls(settings)

    @classmethod
    def of_state(cls, directory: Path) -> Self | None:
        """The stack that runs on this folder; None if none does."""
        from workers.embedded.environment import environment  # noqa: PLC0415 - only where the servers are embedded
        from workers.embedded.state import load  # noqa: PLC0415

        state = load(directory.expanduser().absolute())
        if not state.is_supervised() or "schema" not in state.ready:
            return None
        passwords = {name: state.secrets[login] for name, login in PASSWORDS.items()}
        return cls(environment(state, "worker") | environment(state, "admin") | passwords)

    def get(self, name: str, default: str = "") -> str:
        return self.settings.get(name, default)

    def passwords(self) -> dict[str, str]:
        """Of the database's logins, as far as they are known."""
        return {login: self.settings[name] for name, login in PASSWORDS.items() if self.settings.get(name)}

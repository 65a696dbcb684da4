"""A new grant key for a stack that runs: handed to its supervisor through a file of the state folder.

The supervisor keeps the state in memory and writes it whenever a part is started again, so nobody else may write it. It
finds the file when it looks after its parts, takes it, and starts the dispatcher again.
"""

import os
import time
from pathlib import Path

from workers.embedded.signs import leads
from workers.embedded.state import State, load

_FILE = "grant_key.new"
_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.1


def take(state: State) -> bool:
    """The supervisor's part: the state holds the new key, if somebody brought one."""
    brought = state.directory / _FILE
    if not brought.exists():
        return False
    state.secrets["grant_key"] = brought.read_text()
    state.save()
    brought.unlink()
    return True


def hand_over(state: State, key_text: str, admin_url: str) -> bool:
    """Bring the key, which is installed already, and wait until a dispatcher leads that signs with it. False: not in
    time. The supervisor was stopped, or its machine is very busy; the key is not left behind."""
    before = state.processes["dispatcher"]
    brought = state.directory / _FILE
    _write(brought, key_text)
    give_up_at = time.monotonic() + _WITHIN_S
    while time.monotonic() < give_up_at:
        now = load(state.directory)
        is_restarted = now.processes["dispatcher"] != before and not before.is_running()
        if is_restarted and now.secrets["grant_key"] == key_text and leads(admin_url):
            return True
        time.sleep(_LOOK_EVERY_S)
    brought.unlink(missing_ok=True)
    return False


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    half = path.with_suffix(".half")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    half.replace(path)

"""``recordings flower``: the view of the tasks."""

import os
import sys
from pathlib import Path

import workers.flower
from workers.settings import FlowerSettings

# The first opens it to everybody, the second to every user of the machine; the others are said below.
_NEVER = {"FLOWER_UNAUTHENTICATED_API", "FLOWER_UNIX_SOCKET", "FLOWER_CONF", "FLOWER_READ_ONLY", "FLOWER_DEBUG"}


def flower() -> None:
    """Show tasks and workers at FLOWER_ADDRESS:FLOWER_PORT, read-only, behind FLOWER_BASIC_AUTH or an OAuth login."""
    settings = FlowerSettings.load()
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER}
    # Login and cookie secret stay in the environment, which Flower reads itself: arguments can be seen by everybody.
    arguments = (
        f"--conf={Path(workers.flower.__file__).with_name('flowerconfig.py')}",
        "--read-only",
        f"--address={settings.address}",
        f"--port={settings.port}",
        # A worker that is gone leaves the view and the metrics after a while.
        "--purge-offline-workers=600",
    )
    os.execve(sys.executable, [sys.executable, "-m", "celery", "-A", "tasks", "flower", *arguments], environment)  # noqa: S606

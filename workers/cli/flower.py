"""``recordings flower``: the view of the tasks."""

import os
import sys

from workers.settings import FlowerSettings

#: With it set, anybody may send any task to a worker.
_NEVER = "FLOWER_UNAUTHENTICATED_API"


def flower() -> None:
    """Show tasks and workers at FLOWER_ADDRESS:FLOWER_PORT, read-only, behind FLOWER_BASIC_AUTH."""
    settings = FlowerSettings.load()
    environment = {name: value for name, value in os.environ.items() if name != _NEVER}
    # Login and cookie secret stay in the environment, which Flower reads itself: arguments can be seen by everybody.
    arguments = (
        "--read-only",
        f"--address={settings.address}",
        f"--port={settings.port}",
        # A worker that is gone leaves the view and the metrics after a while.
        "--purge-offline-workers=600",
    )
    os.execve(sys.executable, [sys.executable, "-m", "celery", "-A", "tasks", "flower", *arguments], environment)  # noqa: S606

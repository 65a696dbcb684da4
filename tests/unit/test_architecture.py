"""The house as docs/architecture.md draws it: arrows one way, nothing done at import, one place for each context."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schema", "workers", "tasks")
FILES = [*(file for room in ROOMS for file in (ROOT / room).rglob("*.py")), ROOT / "celeryconfig.py"]
#: The demo and the matrix of isolation act as everybody, and ask every table the same question by name.
ACTORS = {"demo", "isolation"}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def calls(file: Path) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def test_imports_run_from_tasks_to_workers_to_schema() -> None:
    below = {"schema": ("workers", "tasks"), "workers": ("tasks",)}
    for room, forbidden in below.items():
        for file in (ROOT / room).rglob("*.py"):
            rooms = {name.partition(".")[0] for name in imports(file)}
            assert not rooms & set(forbidden), file


@pytest.mark.parametrize("module", ["tasks", "tasks.upload", "celeryconfig", "workers.cli", "workers.pipeline"])
def test_importing_reads_no_environment_and_connects_to_nothing(module: str) -> None:
    """With our settings poisoned and sockets closed, an import still works."""
    poisoned = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET", "RECORDINGS_GRANT_KEY"), "poison")
    program = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        f"import {module}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | poisoned, cwd=ROOT, timeout=60)


def test_the_context_of_a_transaction_is_set_in_tenancy_and_nowhere_else() -> None:
    for file in FILES:
        if file.name == "tenancy.py" or ACTORS & set(file.parts):
            continue
        text = file.read_text()
        for setting in ("app.task_grant", "request.jwt.claims", "SET LOCAL ROLE", "set_config('role'"):
            if setting in text:
                assert file.parent.name == "migrations", f"{setting} in {file}"


def test_no_retry_or_schedule_outside_the_row() -> None:
    """Law 5, in the code and in Celery's settings."""
    forbidden = {"countdown", "eta", "autoretry_for", "beat_schedule", "retry_backoff"}
    for file in FILES:
        for call in calls(file):
            named = {keyword.arg for keyword in call.keywords}
            assert not named & forbidden, file
            assert not (isinstance(call.func, ast.Attribute) and call.func.attr == "retry"), file
    assert "beat_schedule" not in (ROOT / "celeryconfig.py").read_text().replace("no beat", "")


def test_files_stay_small_and_have_names_of_their_own() -> None:
    for file in FILES:
        assert len(file.read_text().splitlines()) <= 300, file
        assert file.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}, file


def is_constant(part: ast.expr) -> bool:
    """Text, or a constant of the module by its name: a statement may share a clause with another one."""
    if isinstance(part, ast.Constant):
        return True
    return isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) and part.value.id.isupper()


def test_no_statement_is_put_together_from_values() -> None:
    """SQL is constant text with bound parameters: an f-string that reads like SQL holds constants only."""
    for file in (file for file in FILES if not ACTORS & set(file.parts)):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)).upper()
                if {"SELECT", "INSERT", "UPDATE", "DELETE"} & set(text.split()[:1]):
                    assert all(map(is_constant, node.values)), file

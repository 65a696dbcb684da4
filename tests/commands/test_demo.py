"""`recordings demo` as a person runs it: the whole of it once, and what it leaves behind when it is cut off."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until
from workers.embedded.state import load

COMMAND = [sys.executable, "-m", "workers.cli", "demo"]
ROOM = Path(__file__).parents[2]


@contextmanager
def running(tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """With its temporary folder in ``tmp_path``."""
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOM)}
    pipe = subprocess.PIPE
    demo = subprocess.Popen([*COMMAND, *options], cwd="/", env=environment, stdout=pipe, stderr=pipe, text=True)
    try:
        yield demo
    finally:
        demo.terminate()
        demo.communicate()


@pytest.mark.stack
def test_the_demo_shows_the_main_job_and_every_check_holds(tmp_path: Path) -> None:
    with running(tmp_path, "--json") as demo:
        out, err = demo.communicate(timeout=170)
    assert err == ""
    facts: dict[str, Any] = json.loads(out)
    assert [check for check in facts["checks"] if not check["ok"]] == []
    assert len(facts["checks"]) == 17
    uploads = facts["uploads"]
    assert uploads["completed"] + uploads["failed"] == uploads["enqueued"] == 120
    assert uploads["failed_by_code"] == {"not_audio": 3, "source_blocked": 6, "source_gone": 3, "too_large": 6}
    assert uploads["retried"] >= 15
    assert (facts["lost"], facts["doubled"]) == (0, 0)
    assert [one["enqueued"] for one in facts["organisations"]] == [40, 40, 40]
    assert facts["worker_killed"]["held"]
    assert facts["elapsed_s"] < 90
    assert facts["ok"]
    assert demo.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_cut_off_leaves_no_process_and_no_folder(tmp_path: Path, ending: signal.Signals) -> None:
    with running(tmp_path) as demo:
        (state_dir,) = until(lambda: list(tmp_path.glob("*/state")))
        until(lambda: "worker1" in load(state_dir).processes)
        processes = load(state_dir).processes
        demo.send_signal(ending)
        out, err = demo.communicate(timeout=60)
    until(lambda: not any(seen.is_running() for seen in processes.values()), timeout_s=120)
    until(lambda: list(tmp_path.iterdir()) == [], timeout_s=120)
    assert out == ""
    assert demo.returncode == (1 if ending == signal.SIGINT else -ending)
    assert ending == signal.SIGKILL or err.endswith("error: interrupted\n")


def test_one_organisation_is_too_few_to_be_kept_apart() -> None:
    asked = subprocess.run([*COMMAND, "--orgs", "1"], capture_output=True, text=True, check=False, cwd=ROOM)
    assert asked.returncode == 2
    assert "--orgs" in asked.stderr

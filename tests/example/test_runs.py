"""``make example``, as it is typed: it starts what it needs, has something to show, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.stack.conftest import recordings
from tests.waiting import until
from workers.embedded import ports
from workers.embedded.state import load

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]


def test_it_starts_shows_two_organisations_apart_and_stops_what_it_started(tmp_path: Path) -> None:
    state, port = tmp_path / "state", ports.pick(1)[0]
    output = tmp_path / "said"
    command = [sys.executable, "-m", "examples.call_handler", "--state", str(state), "--port", str(port)]
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    try:
        until(lambda: "Ctrl-C stops it" in output.read_text() or process.poll() is not None, timeout_s=120)
        said = output.read_text()
        assert process.poll() is None, said
        url, tokens = f"http://127.0.0.1:{port}", re.findall(r"^    (\S+\.\S+\.\S+)$", said, re.MULTILINE)
        assert url in said
        assert len(tokens) == 2

        def calls(token: str) -> dict[str, str]:
            headers = {"Authorization": f"Bearer {token}"}
            found = requests.get(f"{url}/api/calls", headers=headers, timeout=30).json()["calls"]
            return {one["id"]: one["recording_status"] for one in found}

        for token in tokens:
            until(lambda token=token: sorted(calls(token).values()) == ["completed"] * 4 + ["failed"], timeout_s=120)  # type: ignore[misc]
        assert calls(tokens[0]).keys().isdisjoint(calls(tokens[1]))
        listed = recordings("webhooks", "list", "--state", str(state), "--json")
        assert "agent_unknown" in listed.stdout
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=90)
    assert code == 0, output.read_text()
    assert "Traceback" not in output.read_text()
    assert load(state).running() == {}
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_on_a_stack_that_runs_already_it_leaves_that_running(tmp_path: Path) -> None:
    state, output = tmp_path / "state", tmp_path / "said"
    options = ("--state", str(state))
    assert recordings("up", *options, "--workers", "1", "--detach").returncode == 0
    try:
        command = [sys.executable, "-m", "examples.call_handler", *options, "--port", str(ports.pick(1)[0])]
        with output.open("w") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        until(lambda: "Ctrl-C stops it" in output.read_text() or process.poll() is not None, timeout_s=120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, output.read_text()
        assert "keeps running" in output.read_text()
        assert load(state).is_supervised()
    finally:
        assert recordings("down", *options).returncode == 0

"""`recordings up`, `env` and `down`, as somebody types them."""

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from typer.testing import CliRunner, Result

from tests.waiting import until
from workers.cli import app
from workers.embedded.process import is_running
from workers.embedded.state import Seen, load

ROOM = Path(__file__).parents[2]
EXPECTED = {
    "DATABASE_URL": {"admin", "worker", "dispatcher", "call_handler", "ops", "authenticator"},
    "REDIS_URL": {"admin", "worker", "dispatcher"},
    "AWS_SECRET_ACCESS_KEY": {"admin", "worker"},
    "RECORDINGS_BUCKET": {"admin", "worker"},
    "RECORDINGS_GRANT_KEY": {"admin", "dispatcher"},
    "RECORDINGS_SEAL_KEY": {"worker"},
    "RECORDINGS_JWT_SECRET": {"authenticator"},
    "FLOWER_BASIC_AUTH": {"admin"},
}
pytestmark = pytest.mark.stack


def recordings(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack that was started with one value to tune a worker, and with one of somebody else's secrets around."""
    directory = tmp_path_factory.mktemp("stack") / "state"
    around = {"RECORDINGS_LEASE_S": "45", "RECORDINGS_GRANT_KEY": "x:foreign", "PGHOST": "192.0.2.1"}
    up = [sys.executable, "-m", "workers.cli", "up", "--state", str(directory), "--workers", "1", "--detach"]
    started = subprocess.run(up, cwd=ROOM, env=os.environ | around, capture_output=True, text=True, check=False)
    try:
        assert started.returncode == 0, started.stderr
        assert "flower login" in started.stderr
        yield directory
    finally:
        seen = load(directory).running()
        stopped = recordings("down", "--state", directory, "--json")
        assert stopped.exit_code == 0, stopped.stderr
        assert json.loads(stopped.stdout)["stopped"] == sorted(seen)
        assert not [name for name, process in seen.items() if process.is_running()]


def environ_of(directory: Path, part: str) -> dict[str, str]:
    return psutil.Process(load(directory).processes[part].pid).environ()


def test_each_process_is_told_its_own_settings_only(running: Path) -> None:
    secrets = load(running).secrets
    told = {part: environ_of(running, part) for part in ("dispatcher", "worker1", "flower")}
    knows = {
        part: {name for name, secret in secrets.items() if any(secret in value for value in environment.values())}
        for part, environment in told.items()
    }
    assert knows == {
        "dispatcher": {"recording_dispatcher", "valkey", "grant_key"},
        "worker1": {"recording_worker", "valkey", "s3_worker", "seal_key"},
        "flower": {"valkey", "flower", "flower_cookie"},
    }
    assert told["worker1"]["RECORDINGS_LEASE_S"] == "45"
    assert "RECORDINGS_GRANT_KEY" not in told["worker1"]
    assert not [name for environment in told.values() for name in environment if name.startswith("PG")]


def test_no_secret_is_in_an_argument_or_a_log(running: Path) -> None:
    state = load(running)
    shown = [" ".join(psutil.Process(seen.pid).cmdline()) for seen in state.running().values()]
    shown += [log.read_text(errors="replace") for log in (running / "logs").iterdir()]
    assert not [name for name, secret in state.secrets.items() if any(secret in text for text in shown)]


def test_env_gives_each_role_its_settings(running: Path) -> None:
    given = json.loads(recordings("env", "--state", running, "--json").stdout)
    assert {name: {role for role in given if name in given[role]} for name in EXPECTED} == EXPECTED
    for role, login in (("admin", "postgres"), ("worker", "recording_worker"), ("ops", "recording_ops")):
        with psycopg.connect(given[role]["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (login,)


def test_env_is_what_a_shell_can_read(running: Path) -> None:
    printed = recordings("env", "--state", running, "--role", "worker").stdout
    script = f'{printed}\nprintf "%s" "$RECORDINGS_SEAL_KEY"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == load(running).secrets["seal_key"]


def test_flower_asks_for_its_login(running: Path) -> None:
    url = f"http://127.0.0.1:{load(running).ports['flower']}/"
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(url, timeout=10)
    refused.value.close()
    login = json.loads(recordings("env", "--state", running, "--role", "admin", "--json").stdout)
    basic = base64.b64encode(login["admin"]["FLOWER_BASIC_AUTH"].encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {basic}"})
    with urllib.request.urlopen(request, timeout=10) as page:
        assert page.status == 200


def test_a_second_up_is_refused_in_one_sentence(running: Path) -> None:
    for how in ([], ["--detach"]):
        refused = recordings("up", "--state", running, *how)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("error: already running on")
        assert "Traceback" not in refused.stderr


def test_a_worker_that_was_killed_comes_back(running: Path) -> None:
    before = load(running).processes["worker1"]
    os.kill(before.pid, signal.SIGKILL)

    def risen() -> Seen | None:
        found = load(running).processes["worker1"]
        return found if found.pid != before.pid and found.is_running() else None

    assert until(risen).pid != before.pid  # type: ignore[union-attr]


def test_down_and_env_where_nothing_runs(tmp_path: Path) -> None:
    nothing = recordings("down", "--state", tmp_path)
    assert (nothing.exit_code, list(tmp_path.iterdir())) == (0, [])
    assert "nothing is running" in nothing.stderr
    refused = recordings("env", "--state", tmp_path)
    assert refused.exit_code == 1
    assert "start one with" in refused.stderr


def test_a_process_id_that_now_belongs_to_somebody_else_is_left_alone() -> None:
    assert not is_running(os.getpid(), "1")


def test_a_rotated_key_is_in_use_at_once_and_outlives_a_restart_of_the_dispatcher(running: Path) -> None:
    before, told = load(running), environ_of(running, "dispatcher")["RECORDINGS_GRANT_KEY"]
    kid = told.partition(":")[0]
    refused = recordings("keys", "revoke", kid, "--reason", "a test", "--state", running)
    assert (refused.exit_code, "the dispatcher signs with it" in refused.stderr) == (2, True)
    rotated = recordings("keys", "rotate", "--overlap", "0", "--state", running, "--json")
    assert rotated.exit_code == 0, rotated.stderr
    said = json.loads(rotated.stdout)
    assert (said["is_in_use"], said["grant_key"], said["retired"]) == (True, None, 1)
    after = load(running)
    assert not before.processes["dispatcher"].is_running()
    assert environ_of(running, "dispatcher")["RECORDINGS_GRANT_KEY"] == after.secrets["grant_key"]
    assert after.secrets["grant_key"].startswith(f"{said['kid']}:")
    assert [path.name for path in running.glob("grant_key*")] == []
    os.kill(after.processes["dispatcher"].pid, signal.SIGKILL)
    until(lambda: load(running).processes["dispatcher"] != after.processes["dispatcher"])
    assert environ_of(running, "dispatcher")["RECORDINGS_GRANT_KEY"] == after.secrets["grant_key"]
    admin, call_handler = (
        json.loads(recordings("env", "--state", running, "--json").stdout)[role]["DATABASE_URL"]
        for role in ("admin", "call_handler")
    )
    with psycopg.connect(admin, autocommit=True) as connection:
        (org,) = connection.execute("INSERT INTO organizations (name) VALUES ('A') RETURNING id").fetchone() or (None,)
        with psycopg.connect(call_handler) as caller:
            caller.execute("SELECT enqueue_recording(%s, 'https', 'c', 'https://192.0.2.1/a.wav')", (org,))
        # A worker took its doorbell: it found that nothing may be fetched from there.
        until(
            lambda: connection.execute("SELECT id FROM recording_upload_queue WHERE error_code <> ''").fetchone(),
            timeout_s=40,
        )
        assert connection.execute("SELECT kind FROM app.refused_grants").fetchone() is None

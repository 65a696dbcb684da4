"""The compose file's own scripts, commands, logins and settings, run together: a recording goes all the way."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
import redis
from kombu import Connection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from celeryconfig import broker_transport_options, task_queues
from tests.commands.deployment import (
    OUTSIDE,
    WATCHER,
    Deployment,
    broker_alone,
    deployed,
    make_dotenv,
    read_dotenv,
    service,
)
from tests.waiting import until
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.doorbell import Bell, Doorbell
from workers.embedded import ports
from workers.embedded.bucket import Access, send

pytestmark = pytest.mark.stack
ORG = UUID(int=7)
BOTH = 2
ENQUEUE = "SELECT upload_id FROM public.enqueue_recording(%s, 'https', 'call-1', %s)"
STATE = "SELECT status, object_key, error_code FROM public.recording_upload_queue WHERE id = %s"
PREFIX: str = broker_transport_options["global_keyprefix"]  # type: ignore[assignment]
QUEUE = PREFIX + task_queues[0].name


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("compose")
    tuning = {"RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8", "RECORDINGS_SWEEP_GRACE_S": "0"}
    dotenv = read_dotenv(make_dotenv(directory)) | tuning
    with deployed(directory, dotenv) as running, broker(running, WATCHER) as watcher:
        # The worker listens to questions, Flower to events: before that it would miss them.
        until(lambda: watcher.pubsub_numpat() == BOTH)
        yield running


def database(deployment: Deployment, login: str, secret: str) -> "psycopg.Connection[tuple[Any, ...]]":
    password, port = deployment.dotenv[secret], deployment.ports["postgres"]
    return psycopg.connect(f"postgresql://{login}:{password}@127.0.0.1:{port}/recordings")


def broker(deployment: Deployment, user: str) -> redis.Redis:
    password = deployment.dotenv.get(f"VALKEY_{user.upper()}_PASSWORD", user)
    return redis.Redis(
        port=deployment.ports["valkey"],
        username=user,
        password=password,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )


def flower(deployment: Deployment, path: str) -> Any:
    """What its API says; None while it does not."""
    login = b64encode(deployment.environment("flower")["FLOWER_BASIC_AUTH"].encode()).decode()
    url = f"http://{OUTSIDE}:{deployment.ports['flower']}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def store(deployment: Deployment, name: str, *, bucket: str = "recordings") -> Access:
    secret = deployment.dotenv[f"S3_{name.upper()}_SECRET_KEY"]
    return Access(f"http://{OUTSIDE}:{deployment.ports['s3']}", f"recordings-{name}", secret, bucket)


@pytest.fixture(scope="module")
def upload(deployment: Deployment) -> Iterator[tuple[str, UUID]]:
    """The key of a recording that went all the way, and its id."""
    with database(deployment, "postgres", "POSTGRES_PASSWORD") as admin:
        admin.execute("INSERT INTO public.organizations (id, name) VALUES (%s, 'Acme')", (ORG,))
    with Provider() as provider:
        url = provider.add("/recording", Recording(seed=1, size=200_000))
        with database(deployment, "call_handler", "RECORDINGS_CALL_HANDLER_PASSWORD") as handler:
            ((upload_id,),) = handler.execute(ENQUEUE, (ORG, url)).fetchall()

        def settled() -> tuple[Any, ...] | None:
            with database(deployment, "postgres", "POSTGRES_PASSWORD") as admin:
                row = admin.execute(STATE, (upload_id,)).fetchone()
            return row if row and row[0] in ("completed", "failed") else None

        row = until(settled)
        assert row
        status, key, error = row
        assert (status, error) == ("completed", None)
        yield key, upload_id


def test_a_recording_goes_from_the_call_handler_into_the_bucket(
    deployment: Deployment, upload: tuple[str, UUID]
) -> None:
    worker = store(deployment, "worker")
    assert send(worker, "GET", f"/recordings/{upload[0]}") == HTTPStatus.OK


def test_an_operator_s_sweep_puts_an_orphan_aside_and_leaves_the_recording(
    deployment: Deployment, upload: tuple[str, UUID]
) -> None:
    worker = store(deployment, "worker")
    orphan = f"{ORG}/2026/05/{uuid4()}/{uuid4()}.wav"
    assert send(worker, "PUT", f"/recordings/{orphan}", b"RIFF") == HTTPStatus.OK
    with database(deployment, "recording_ops", "RECORDINGS_OPS_PASSWORD") as operator:
        operator.execute("SELECT public.request_storage_sweep(%s, 'a test')", (ORG,))

    def swept() -> Any:
        with database(deployment, "recording_ops", "RECORDINGS_OPS_PASSWORD") as operator:
            return operator.execute("SELECT swept_at FROM app.sweeps WHERE org_id = %s", (ORG,)).fetchone() != (None,)

    until(swept)
    keys = (orphan, f"quarantine/{orphan}", upload[0])
    found = [send(worker, "GET", f"/recordings/{key}") for key in keys]
    assert found == [HTTPStatus.NOT_FOUND, HTTPStatus.OK, HTTPStatus.OK]


def test_a_recording_is_had_in_another_format(deployment: Deployment, upload: tuple[str, UUID]) -> None:
    claims = json.dumps({"sub": str(uuid4()), "app_metadata": {"org_id": str(ORG)}})
    with database(deployment, "authenticator", "RECORDINGS_AUTHENTICATOR_PASSWORD") as user:
        user.execute(
            "SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)", (claims,)
        )
        ask = "SELECT request_recording_download(id, 'a test', 'flac') FROM public.call_logs"
        ((asked,),) = user.execute(ask).fetchall()

    def answered() -> tuple[Any, ...] | None:
        with database(deployment, "postgres", "POSTGRES_PASSWORD") as admin:
            state = "SELECT status, error_code FROM public.recording_downloads WHERE id = %s"
            row = admin.execute(state, (asked,)).fetchone()
        return row if row and row[0] != "requested" else None

    assert until(answered, timeout_s=60) == ("ready", None)


def test_flower_sees_the_task_the_worker_and_the_queue(deployment: Deployment, upload: tuple[str, UUID]) -> None:
    def seen() -> bool:
        tasks = flower(deployment, "/api/tasks") or {}
        return any(str(upload[1]) in task["kwargs"] and task["state"] == "SUCCESS" for task in tasks.values())

    until(seen)
    names = until(lambda: flower(deployment, "/api/workers?refresh=1"))
    assert sorted(name.partition("@")[0] for name in names) == ["renditions", "worker"]
    lengths = flower(deployment, "/api/queues/length")["active_queues"]
    assert {"name": task_queues[0].name, "messages": 0} in lengths


def test_valkey_refuses_the_processes_nothing_that_they_need(deployment: Deployment, upload: tuple[str, UUID]) -> None:
    assert upload
    with broker(deployment, WATCHER) as watcher:
        assert watcher.acl_log() == []


def test_the_dispatcher_may_throw_away_doorbells_that_nobody_heard(closed: Deployment) -> None:
    password, port = closed.dotenv["VALKEY_DISPATCHER_PASSWORD"], closed.ports["valkey"]
    bell = Bell(f"redis://dispatcher:{password}@127.0.0.1:{port}/0")
    try:
        doorbells = [Doorbell(uuid4(), (uuid4(),), "grant") for _ in range(3)]
        assert bell.ring(doorbells, most=100) == 0
        assert bell.ring(doorbells[:1], most=2) >= 3
        assert bell.ring([], most=0) == 1
    finally:
        bell.close()


def test_a_worker_that_goes_puts_its_doorbell_back(deployment: Deployment) -> None:
    """Putting a doorbell back needs other commands than taking one does."""
    password, port = deployment.dotenv["VALKEY_WORKER_PASSWORD"], deployment.ports["valkey"]
    url = f"redis://worker:{password}@127.0.0.1:{port}/0"
    with Connection(url, transport_options=broker_transport_options) as connection:
        queue = connection.SimpleQueue("upload-put-back")
        queue.put({"id": 1})
        queue.get(timeout=5)
        with broker(deployment, "dispatcher") as dispatcher:
            assert dispatcher.llen(f"{PREFIX}upload-put-back") == 0
            queue.close()
            connection.close()
            assert dispatcher.llen(f"{PREFIX}upload-put-back") == 1


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("broker")
    with broker_alone(directory, read_dotenv(make_dotenv(directory))) as running:
        with broker(running, WATCHER) as watcher:
            watcher.lpush(QUEUE, "doorbell")
            watcher.hset(f"{PREFIX}unacked", "tag", "doorbell")
        yield running


@pytest.mark.parametrize(
    ("user", "command"),
    [
        *(
            (user, command)
            for user in ("dispatcher", "worker", "flower", "health")
            for command in (
                "FLUSHALL",
                "FLUSHDB",
                "CONFIG GET *",
                "SCRIPT FLUSH",
                "SCRIPT KILL",
                "EVAL return 0",
                "FUNCTION LIST",
                "SAVE",
                "REPLICAOF elsewhere 1",
                "ACL LIST",
                "KEYS *",
                "SCAN 0",
                "MONITOR",
                "CLIENT LIST",
                "SHUTDOWN NOSAVE",
                f"LRANGE {QUEUE} 0 -1",
                "SET elsewhere 1",
                "PUBLISH elsewhere 1",
            )
        ),
        *(
            ("dispatcher", command)
            for command in (
                f"BRPOP {QUEUE} 1",
                f"BLPOP {QUEUE} 1",
                f"RPOP {QUEUE}",
                f"LPOP {QUEUE}",
                f"LMOVE {QUEUE} {QUEUE} LEFT RIGHT",
                f"LINDEX {QUEUE} 0",
                f"DUMP {QUEUE}",
                f"DEL {PREFIX}unacked",
            )
        ),
        ("dispatcher", f"HGET {PREFIX}unacked tag"),
        ("dispatcher", f"PUBLISH {PREFIX}/0.celery.pidbox shutdown"),
        ("worker", f"PUBLISH {PREFIX}/1.celery.pidbox shutdown"),
        ("flower", f"BRPOP {QUEUE} 1"),
        ("worker", f"LINDEX {QUEUE} 0"),
        ("worker", f"GET {PREFIX}elsewhere"),
        ("flower", f"LPUSH {QUEUE} forged"),
        ("flower", f"LINDEX {QUEUE} 0"),
        ("flower", f"DUMP {QUEUE}"),
        ("flower", f"DEL {QUEUE}"),
        ("flower", f"HGET {PREFIX}unacked tag"),
        ("worker", f"HGET {PREFIX}unacked tag"),
        ("flower", f"SADD {PREFIX}_kombu.binding.{task_queues[0].name} elsewhere"),
        ("health", f"LLEN {QUEUE}"),
    ],
)
def test_valkey_refuses_everything_else(closed: Deployment, user: str, command: str) -> None:
    with broker(closed, user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.split(" "))


def test_no_script_of_flowers_reads_what_flower_may_not(closed: Deployment) -> None:
    with broker(closed, "flower") as client:
        sha = client.script_load("return redis.call('LRANGE', KEYS[1], 0, -1)")
        with pytest.raises(RedisError, match="permission"):
            client.evalsha(sha, 1, QUEUE)


@pytest.mark.parametrize("user", ["default", "nobody"])
def test_valkey_lets_nobody_in_without_a_login(closed: Deployment, user: str) -> None:
    with broker(closed, user) as client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_health_check_may_ask_for_a_pong(closed: Deployment) -> None:
    with broker(closed, "health") as client:
        assert client.ping()


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/another"), ("DELETE", "/recordings"), ("PUT", "/recordings?policy"), ("GET", "/else")],
)
def test_a_worker_s_key_is_for_what_is_in_its_bucket(deployment: Deployment, method: str, path: str) -> None:
    assert send(store(deployment, "worker"), method, path) == HTTPStatus.FORBIDDEN


def test_s3_gives_strangers_nothing(deployment: Deployment, upload: tuple[str, UUID]) -> None:
    url = f"{store(deployment, 'worker').endpoint_url}/recordings/{upload[0]}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=5)
    refused.value.close()
    assert refused.value.code == HTTPStatus.FORBIDDEN


def test_a_recording_lies_encrypted_on_the_disk(deployment: Deployment, upload: tuple[str, UUID]) -> None:
    assert upload
    piece = Recording(seed=1, size=200_000).bytes()[100_000:100_064]
    volumes = list(deployment.directory.glob("recordings_*.dat"))
    assert sum(file.stat().st_size for file in volumes) > 200_000
    assert all(piece not in file.read_bytes() for file in volumes)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second loopback address")
def test_only_s3_itself_can_be_reached_from_outside_its_container(deployment: Deployment) -> None:
    sockets = psutil.Process(deployment.processes[0].pid).net_connections()
    outside = {s.laddr.port for s in sockets if s.status == psutil.CONN_LISTEN and s.laddr.ip != "127.0.0.1"}
    assert outside == {deployment.ports["s3"], deployment.ports["s3.grpc"]}


@pytest.mark.parametrize("name", ["migrate", "s3-init"])
def test_a_one_shot_may_run_again(deployment: Deployment, name: str) -> None:
    deployment.run(name)


def test_flower_shows_strangers_nothing(deployment: Deployment) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{OUTSIDE}:{deployment.ports['flower']}/tasks", timeout=5)
    refused.value.close()
    assert refused.value.code == HTTPStatus.UNAUTHORIZED


def check(name: str, *replaced: str) -> bool:
    """The service's own health check, at another address."""
    kind, *test = service(name)["healthcheck"]["test"]
    old, new = replaced
    argv = [part.replace(old, new) for part in (["/bin/sh", "-c", *test] if kind == "CMD-SHELL" else test)]
    return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def test_flower_s_health_check_finds_it(deployment: Deployment) -> None:
    assert check("flower", "127.0.0.1:5555", f"{OUTSIDE}:{deployment.ports['flower']}")
    assert not check("flower", "127.0.0.1:5555", f"{OUTSIDE}:{ports.pick(1)[0]}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of connections")
@pytest.mark.parametrize(("name", "port"), [("dispatcher", 5432), ("worker", 6379)])
def test_a_process_is_healthy_while_its_connection_is_open(name: str, port: int) -> None:
    own, another = f":{port:04X} 01", ports.pick(1)[0]
    assert own in service(name)["healthcheck"]["test"][1]
    with socket.create_server(("127.0.0.1", another)):
        assert not check(name, own, f":{another:04X} 01")
        with socket.create_connection(("127.0.0.1", another)):
            assert check(name, own, f":{another:04X} 01")

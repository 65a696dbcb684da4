"""``rediss://`` is TLS that verifies, for the dispatcher, a worker and Flower alike, on a real Valkey behind TLS."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery

from tests.commands.flower import LOGIN, flower, valkey
from tests.commands.tls import encrypted
from tests.database import Database
from tests.waiting import until
from workers.broker import Broker
from workers.doorbell import Bell, BrokerLostError, Doorbell

WORKER = ("-m", "celery", "-A", "tasks", "worker", "-P", "threads", "-c", "1", "-n", "tls@test", "--without-gossip")
DOORBELL = Doorbell(uuid4(), (uuid4(),), "grant")


@dataclass(frozen=True)
class Behind:
    """A Valkey behind TLS; ``plain`` is its own port."""

    plain: str
    port: int
    authority: Path

    def url(self, *, host: str = "localhost", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"rediss://:pw@{host}:{self.port}/0?{query}"

    @property
    def trusted(self) -> str:
        return self.url(ssl_ca_certs=str(self.authority))


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    with valkey(tmp_path) as server, encrypted(tmp_path, server.port) as (port, authority):
        yield Behind(server.url, port, authority)


def rung(behind: Behind) -> int:
    with redis.Redis.from_url(behind.plain) as client:
        return int(client.llen("rec:upload"))


def ring(url: str) -> None:
    bell = Bell(url)
    try:
        bell.ring([DOORBELL], most=10)
    finally:
        bell.close()


def test_the_dispatcher_rings_over_tls(behind: Behind) -> None:
    ring(behind.trusted)
    assert rung(behind) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_nothing_is_said_to_a_server_that_cannot_prove_its_name(behind: Behind, host: str) -> None:
    """Not trusted at all; or trusted, but under another name. kombu by itself would take both."""
    url = behind.url() if host == "localhost" else behind.url(host=host, ssl_ca_certs=str(behind.authority))
    with pytest.raises(BrokerLostError):
        ring(url)
    assert rung(behind) == 0


def test_a_worker_listens_and_flower_looks_over_tls(behind: Behind, shared: Database, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": shared.url("recording_worker"), "RECORDINGS_BUCKET": "none"}
    log = (tmp_path / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, *WORKER],
        env=os.environ | settings | {"REDIS_URL": behind.trusted},
        stdout=log,
        stderr=log,
    )
    try:
        with Celery(set_as_current=False) as app:
            app.conf.update(Broker.parse(behind.trusted).celery_settings)
            app.config_from_object("celeryconfig")
            until(lambda: app.control.ping(timeout=0.5))
        with flower(tmp_path, behind.trusted, FLOWER_BASIC_AUTH=LOGIN) as running:
            until(lambda: json.loads(running.ask("GET", "/api/workers?refresh=1", login=LOGIN).body))
            lengths = json.loads(running.ask("GET", "/api/queues/length", login=LOGIN).body)
            assert {"name": "upload", "messages": 0} in lengths["active_queues"]
    finally:
        worker.terminate()
        worker.wait(40)
        log.close()
    assert b"insecure" not in (tmp_path / "worker.log").read_bytes()

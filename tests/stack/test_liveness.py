"""A worker that answers pings and takes no doorbell any more, as after a bad Redis reconnect, replaces itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import RedisError

from tests.faults.stage import Stage, stage
from tests.waiting import until
from workers.crew import read_crew
from workers.demo.behaviours import slow
from workers.demo.recordings import Recording
from workers.embedded.signs import answering
from workers.enqueue import enqueue

pytestmark = pytest.mark.stack

DEAF_AFTER_S = 4.0


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    more = {"RECORDINGS_DEAF_AFTER_S": str(DEAF_AFTER_S), "RECORDINGS_LEASE_S": "20"}
    folder = tmp_path_factory.mktemp("liveness") / "state"
    with stage(folder, workers=2, concurrency=2, organisations=1, **more) as started:
        yield started


@contextmanager
def control(here: Stage) -> Iterator[Any]:
    with Celery(broker=here.stack.servers.redis_url, set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        yield app.control


def deafen(here: Stage, worker: str) -> None:
    """It consumes from nothing from here on, and goes on answering. Told again until it is so: a broadcast is heard by
    whoever listens in that instant."""
    only = [f"{worker}@recordings"]
    with control(here) as workers:

        def is_deaf() -> bool:
            (queues,) = (workers.inspect(only).active_queues() or {"": [None]}).values()
            for queue in filter(None, queues):
                workers.cancel_consumer(queue["name"], destination=only, reply=True)
            return not queues

        until(is_deaf)
    assert worker in answering(here.stack.servers.redis_url)


def both_answer(here: Stage) -> bool:
    try:
        return answering(here.stack.servers.redis_url) >= {"worker1", "worker2"}
    except RedisError:  # a connection that this process has kept, and that was cut
        return False


def pids(here: Stage) -> dict[str, int]:
    here.stack.tend()
    return {name: process.pid for name, process in here.processes("worker").items()}


def enqueue_some(here: Stage, count: int, *behaviours: Any) -> list[UUID]:
    with psycopg.connect(here.stack.environment("call_handler")["DATABASE_URL"]) as connection:
        return [
            enqueue(
                connection,
                org_id=here.org_ids[0],
                provider="https",
                provider_call_id=uuid4().hex,
                source_url=here.provider.add(f"/{uuid4().hex}.wav", Recording(seed=number, size=20_000), *behaviours),
            ).upload_id
            for number in range(count)
        ]


def completed(here: Stage, uploads: list[UUID]) -> bool:
    here.stack.tend()
    with psycopg.connect(here.admin_url) as connection:
        query = (
            "SELECT count(*) FROM recording_upload_queue WHERE id = ANY(%s) AND status = 'completed' AND failures = 0"
        )
        return connection.execute(query, (uploads,)).fetchone() == (len(uploads),)


def goes_on(here: Stage, uploads: list[UUID]) -> None:
    until(lambda: completed(here, uploads), timeout_s=90)


def states(here: Stage) -> dict[str, str]:
    with psycopg.connect(here.stack.environment("ops")["DATABASE_URL"]) as ops:
        return {worker.worker: worker.state for worker in read_crew(ops)}


def deaf_events(here: Stage, worker: str) -> list[dict[str, Any]]:
    log = (here.state.directory / "logs" / f"{worker}.log").read_text().splitlines()
    return [json.loads(line) for line in log if '"worker_deaf"' in line]


def test_status_knows_the_workers_and_that_they_are_well(here: Stage) -> None:
    until(lambda: states(here) == {"worker1@recordings": "well", "worker2@recordings": "well"})


def test_cut_off_from_the_broker_they_come_back_and_nobody_is_called_deaf(here: Stage) -> None:
    """The broker dies too. Those that come after this one find the watch awake."""
    for _ in range(3):
        with Redis.from_url(here.stack.servers.redis_url) as broker:
            broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        goes_on(here, enqueue_some(here, 5))
    valkey = here.stack.servers.processes["valkey"]
    valkey.kill()
    goes_on(here, enqueue_some(here, 5))
    assert here.stack.servers.processes["valkey"] is not valkey
    assert not deaf_events(here, "worker1")
    assert not deaf_events(here, "worker2")


def test_when_every_worker_is_deaf_they_replace_themselves_and_uploads_go_on(here: Stage) -> None:
    until(lambda: both_answer(here))
    before = pids(here)
    for worker in before:
        deafen(here, worker)
    uploads = enqueue_some(here, 5)
    goes_on(here, uploads)
    until(lambda: not set(pids(here).values()) & set(before.values()))
    for worker in before:
        (said,) = deaf_events(here, worker)
        assert said["silent_s"] >= DEAF_AFTER_S
        assert said["waiting"] > 0


def test_one_that_is_deaf_is_noticed_as_soon_as_it_is_missed_and_the_others_are_left_alone(here: Stage) -> None:
    until(lambda: both_answer(here))
    before = pids(here)
    deafen(here, "worker1")
    quick = enqueue_some(here, 4)
    goes_on(here, quick)
    assert pids(here) == before, "nothing waited: nobody missed it"
    backlog = enqueue_some(here, 10, slow(8_000))
    goes_on(here, backlog)
    assert pids(here)["worker1"] != before["worker1"]
    assert pids(here)["worker2"] == before["worker2"]

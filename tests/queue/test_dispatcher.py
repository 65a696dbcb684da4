"""The dispatcher as it runs: one leads, another takes over, and no broker or database that is away ends it."""

import base64
import json
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from schema.tenancy import run_as_task
from tests.database import Database
from tests.waiting import until
from workers.dispatcher import Dispatcher
from workers.doorbell import GRANT_HEADER, UPLOAD_QUEUE, UPLOAD_TASK, Bell, BrokerLostError, Doorbell
from workers.embedded import ports
from workers.embedded.process import Process
from workers.embedded.valkey import Valkey
from workers.intake import take
from workers.settings import DispatcherSettings

NAME = "recordings-dispatcher"
Start = Callable[..., threading.Event]


class Broker:
    """A real one, that can be taken away."""

    def __init__(self, directory: Path) -> None:
        self.valkey = Valkey(
            directory / "valkey", port=ports.pick(1)[0], password=secrets.token_hex(8), log=directory / "valkey.log"
        )
        self.process: Process | None = None

    def start(self) -> None:
        self.process = self.valkey.start()
        until(self.valkey.is_ready)

    def stop(self) -> None:
        if self.process:
            self.process.stop()
            self.process = None

    @contextmanager
    def client(self) -> Iterator["redis.Redis"]:
        with redis.Redis.from_url(self.valkey.url, decode_responses=True) as client:
            yield client

    def rung(self) -> list[UUID]:
        """The uploads whose doorbells wait, the oldest first."""
        said = [headers["kwargsrepr"].split("upload_ids")[1] for headers in self.headers()]
        return [UUID(upload_id) for text in said for upload_id in re.findall(r"'([0-9a-f-]{36})'", text)]

    def headers(self) -> list[dict[str, Any]]:
        with self.client() as client:
            messages = [json.loads(text) for text in client.lrange("rec:upload", 0, -1)]
        return [message["headers"] for message in reversed(messages)]


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(one_broker: Broker) -> Iterator[Broker]:
    yield one_broker
    if one_broker.process is None:
        one_broker.start()
    with one_broker.client() as client:
        client.flushall()


@pytest.fixture
def start(database: Database, broker: Broker) -> Iterator[Start]:
    """Start a dispatcher in a thread; each must end well when it is told to stop."""
    with ExitStack() as stack:

        def once(**settings: str) -> threading.Event:
            stop = threading.Event()
            faults: list[BaseException] = []
            values = {
                "DATABASE_URL": database.url("recording_dispatcher"),
                "REDIS_URL": broker.valkey.url,
                "RECORDINGS_GRANT_KEY": database.key.text,
                "RECORDINGS_TICK_S": "0.1",
            }
            dispatcher = Dispatcher(DispatcherSettings.model_validate(values | settings), stop)

            def run() -> None:
                try:
                    dispatcher.run()
                except BaseException as fault:  # noqa: BLE001 - shown by the test, not by the thread
                    faults.append(fault)

            thread = threading.Thread(target=run)

            def end() -> None:
                stop.set()
                thread.join(30)
                assert not thread.is_alive()
                assert faults == []

            stack.callback(end)
            thread.start()
            return stop

        yield once


def leaders(database: Database) -> list[int]:
    rows = database.all(
        "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
    )
    return [pid for (pid,) in rows]


def dispatchers(database: Database) -> int:
    return int(
        database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()", NAME
        )
    )


def marked(database: Database, upload_id: UUID) -> bool:
    return bool(database.one("SELECT dispatched_until > now() FROM recording_upload_queue WHERE id = %s", upload_id))


def test_a_new_recording_is_rung_for_with_a_grant_and_ids_only(
    database: Database, broker: Broker, start: Start
) -> None:
    start(RECORDINGS_TICK_S="60")
    until(lambda: leaders(database))
    org_id = database.organisation()
    upload_id = database.enqueue(org_id, source_url="https://provider.example/r.wav?token=secret").upload_id
    until(lambda: broker.rung() == [upload_id])
    with broker.client() as client:
        (text,) = client.lrange("rec:upload", 0, -1)
    headers = json.loads(text)["headers"]
    assert headers["kwargsrepr"] == str({"org_id": str(org_id), "upload_ids": [str(upload_id)]})
    assert "provider.example" not in text
    with database.connect("recording_worker") as connection:
        connection.execute("SELECT set_config('app.task_grant', %s, false)", (headers["task_grant"],))
        assert connection.execute("SELECT id FROM recording_upload_queue").fetchall() == [(upload_id,)]


def test_a_backlog_is_rung_for_several_at_a_time_and_a_worker_takes_each_doorbell(
    database: Database, broker: Broker, start: Start
) -> None:
    org_id = database.organisation()
    uploads = {database.enqueue(org_id).upload_id for _ in range(80)}
    start(RECORDINGS_MAX_IN_FLIGHT="80")
    # They come in one after the other.
    until(lambda: uploads <= set(broker.rung()))
    with broker.client() as client:
        messages = [json.loads(text) for text in client.lrange("rec:upload", 0, -1)]
    taken = [take(message, UPLOAD_QUEUE) for message in reversed(messages)]
    assert {message["headers"]["task"] for message in taken} == {UPLOAD_TASK}
    carried = [json.loads(base64.b64decode(message["body"]))[1]["upload_ids"] for message in taken]
    assert [len(ids) for ids in carried][:32] == [1] * 32
    assert len(carried) < 60
    assert sorted(UUID(upload_id) for ids in carried for upload_id in ids) == sorted(uploads)
    grant = taken[-1]["headers"][GRANT_HEADER]
    look = "SELECT count(*), current_setting('app.task_memo', true) FROM recording_upload_queue"
    # Without what came beside it PostgreSQL verifies it, and writes that down itself.
    assert run_as_task(database.engine("recording_worker"), str.__str__(grant), look, {}) == [(80, grant.memo)]
    assert run_as_task(database.engine("recording_worker"), grant, look, {}) == [(80, grant.memo)]


def test_one_leads_and_when_its_connection_dies_another_one_does(
    database: Database, broker: Broker, start: Start
) -> None:
    start()
    start()
    until(lambda: dispatchers(database) == 2)
    (leader,) = until(lambda: leaders(database))
    database.one("SELECT pg_terminate_backend(%s)", leader)
    (successor,) = until(lambda: [pid for pid in leaders(database) if pid != leader])
    assert successor != leader
    upload_id = database.enqueue(database.organisation()).upload_id
    until(lambda: upload_id in broker.rung())
    until(lambda: dispatchers(database) == 2)
    assert len(leaders(database)) == 1


def test_a_leader_that_is_told_to_stop_makes_way(database: Database, start: Start) -> None:
    stop = start()
    (leader,) = until(lambda: leaders(database))
    start()
    until(lambda: dispatchers(database) == 2)
    stop.set()
    until(lambda: [pid for pid in leaders(database) if pid != leader])


def test_a_leader_that_hangs_loses_the_lead(
    database: Database, broker: Broker, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.dispatcher._SILENCE_S", 0.1)
    start()
    (leader,) = until(lambda: leaders(database))
    assert broker.process
    broker.process.signal(signal.SIGSTOP)
    try:
        upload_id = database.enqueue(database.organisation()).upload_id
        until(lambda: marked(database, upload_id))
        start()
        until(lambda: [pid for pid in leaders(database) if pid != leader])
    finally:
        broker.process.signal(signal.SIGCONT)


def test_a_broker_that_is_away_takes_the_marks_back_and_is_waited_for(
    database: Database, broker: Broker, start: Start
) -> None:
    start()
    org_id = database.organisation()
    first = database.enqueue(org_id).upload_id
    until(lambda: broker.rung() == [first])
    broker.stop()
    second = database.enqueue(org_id).upload_id
    until(lambda: marked(database, second))
    until(lambda: not marked(database, second))
    broker.start()
    until(lambda: second in broker.rung())


def test_a_broker_that_lost_everything_is_rung_again(database: Database, broker: Broker, start: Start) -> None:
    start(RECORDINGS_DOORBELL_EXPIRES_S="0.5")
    upload_id = database.enqueue(database.organisation()).upload_id
    until(lambda: upload_id in broker.rung())
    with broker.client() as client:
        client.flushall()
    until(lambda: upload_id in broker.rung())


def test_doorbells_that_nobody_answers_do_not_pile_up(database: Database, broker: Broker, start: Start) -> None:
    start(RECORDINGS_DOORBELL_EXPIRES_S="0.05", RECORDINGS_DISPATCH_WINDOW="4")
    database.enqueue(database.organisation())
    lengths = {0}

    def rung_often() -> bool:
        lengths.add(len(broker.rung()))
        return len(lengths) >= 6

    until(rung_often)
    # The window, and one batch that was rung on top of it.
    assert max(lengths) <= 5


@pytest.mark.parametrize("off_s", [-36_000, 36_000])
def test_a_host_whose_clock_is_hours_off_rings_doorbells_that_are_answered(
    database: Database, broker: Broker, start: Start, monkeypatch: pytest.MonkeyPatch, off_s: float
) -> None:
    """Grants are minted by the clock that judges them, and a doorbell's age is a matter of its mark."""
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + off_s)
    upload = database.enqueue(database.organisation()).upload_id
    start()
    (headers,) = until(broker.headers)
    look = "SELECT id FROM public.recording_upload_queue"
    assert run_as_task(database.engine("recording_worker"), headers[GRANT_HEADER], look, {}) == [(upload,)]
    assert headers["expires"] is None


def test_a_batch_that_cannot_be_published_says_so_without_an_address(broker: Broker) -> None:
    bell = Bell(broker.valkey.url)
    try:
        doorbell = Doorbell(UUID(int=1), (UUID(int=2),), "grant")
        assert bell.ring([doorbell], most=10) == 0
        broker.stop()
        with pytest.raises(BrokerLostError) as raised:
            bell.ring([doorbell], most=10)
        assert str(broker.valkey.port) not in str(raised.value)
        broker.start()
        bell.ring([doorbell], most=10)
    finally:
        bell.close()


def test_doorbells_of_downloads_that_nobody_answers_do_not_pile_up_either(broker: Broker) -> None:
    bell = Bell(broker.valkey.url)
    try:
        asked = [(UUID(int=1), UUID(int=n), "grant") for n in range(3)]
        assert [bell.ring_for_downloads(asked, most=2) for _ in range(3)] == [0, 3, 3]
        with broker.client() as client:
            assert client.llen("rec:download") == 3
    finally:
        bell.close()

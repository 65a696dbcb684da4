"""JSON only: whoever can write to Redis cannot have a worker or Flower unpickle anything."""

import pickle
from pathlib import Path

import pytest
from celery import Celery
from kombu import Exchange, Producer

from tests.stack.conftest import RunningStack
from tests.waiting import until
from workers.broker import Broker
from workers.doorbell import UPLOAD_TASK


class Trap:
    """Opened, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.stack
def test_a_pickle_is_opened_by_nobody(stack: RunningStack, tmp_path: Path) -> None:
    mark, before = tmp_path / "opened", refusals(stack)
    with Celery(set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        app.conf.update(Broker.parse(stack.roles["admin"]["REDIS_URL"]).celery_settings)
        with app.producer_or_acquire() as producer:
            for exchange, key in (("", "upload"), ("", "maintenance")):
                publish(producer, Trap(mark), exchange=exchange, routing_key=key)
            publish(producer, Trap(mark), exchange=Exchange("celery.pidbox", type="fanout"), routing_key="")
            event = Exchange("celeryev", type="topic")
            publish(producer, Trap(mark), exchange=event, routing_key="worker.online")
    # Behind them in the same queues: what comes after was taken after.
    url, _ = stack.recording(20_000)
    assert stack.settled(stack.enqueue(stack.organisation(), url))["status"] == "completed"
    until(lambda: refusals(stack) == before + 2)
    assert not mark.exists()


def refusals(stack: RunningStack) -> int:
    return stack.logs().count('"kind": "malformed"')


def publish(producer: Producer, trap: Trap, **where: object) -> None:
    producer.publish(
        pickle.dumps(([trap], {}, {})),
        content_type="application/x-python-serialize",
        content_encoding="binary",
        headers={"task": UPLOAD_TASK, "id": "pickled", "lang": "py"},
        **where,  # type: ignore[arg-type]
    )

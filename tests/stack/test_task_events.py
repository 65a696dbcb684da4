"""What Flower hears of: every task, from its beginning to its end, by the dozen."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from celery.events.receiver import EventReceiver
from kombu import Consumer

from tests.stack.conftest import RunningStack
from tests.waiting import until
from workers.broker import Broker

pytestmark = pytest.mark.stack
STEPS = ("task-received", "task-started", "task-succeeded")


class Audience:
    """The messages of tasks that came in: each of one event or more."""

    def __init__(self) -> None:
        self.messages: list[list[dict[str, Any]]] = []

    def take(self, body: Any, _: Any) -> None:
        events = body if isinstance(body, list) else [body]
        if events[0]["type"].startswith("task-"):
            self.messages.append(events)

    def steps(self) -> Counter[str]:
        return Counter(event["type"] for events in self.messages for event in events)

    def has_heard_the_end(self) -> bool:
        steps = self.steps()
        return steps[STEPS[0]] == steps[STEPS[-1]] > 0


@contextmanager
def audience(stack: RunningStack) -> Iterator[Audience]:
    made, listening, over = Audience(), threading.Event(), threading.Event()

    def listen() -> None:
        with Celery(set_as_current=False) as app:
            app.config_from_object("celeryconfig")
            app.conf.update(Broker.parse(stack.roles["admin"]["REDIS_URL"]).celery_settings)
            with app.connection_for_read() as connection:
                receiver: Any = EventReceiver(connection, app=app)
                with Consumer(connection, queues=[receiver.queue], callbacks=[made.take], no_ack=True, accept=["json"]):
                    listening.set()
                    while not over.is_set():
                        try:
                            connection.drain_events(timeout=0.2)
                        except TimeoutError:
                            continue

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert listening.wait(10)
        yield made
    finally:
        over.set()
        thread.join(10)
        assert not thread.is_alive()


def test_each_task_is_heard_of_at_each_step_in_fewer_messages_than_steps(stack: RunningStack) -> None:
    with audience(stack) as heard:
        org = stack.organisation()
        for _ in range(24):
            stack.enqueue(org, stack.recording(20_000)[0])
        assert stack.all_settled(org) == {"completed": 24}
        until(heard.has_heard_the_end)
        steps = heard.steps()
        assert {steps[step] for step in STEPS} == {steps[STEPS[0]]}
        assert len(heard.messages) < sum(steps.values()) / 2

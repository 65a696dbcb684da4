"""One Redis client for each channel of kombu's, and a new one where its connections are new."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from tests.stack.conftest import RunningStack
from workers.broker import Broker
from workers.channel import keep_clients

pytestmark = pytest.mark.stack


@pytest.fixture
def channel(stack: RunningStack) -> Iterator[Any]:
    keep_clients()
    keep_clients()
    with Celery(set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        app.conf.update(Broker.parse(stack.roles["admin"]["REDIS_URL"]).celery_settings)
        with app.connection_for_write() as connection:
            yield connection.channel()


def client(channel: Any) -> Any:
    with channel.conn_or_acquire() as found:
        return found


def test_a_channel_has_one_client(channel: Any) -> None:
    assert client(channel) is client(channel)
    assert client(channel).ping()
    assert client(channel).connection_pool is channel.pool


def test_what_waits_for_messages_has_a_client_of_its_own(channel: Any) -> None:
    assert channel.client is not client(channel)
    assert channel.client.connection_pool is channel.async_pool


def test_after_its_connections_were_dropped_it_has_another(channel: Any) -> None:
    before = client(channel)
    channel._disconnect_pools()
    assert client(channel) is not before
    assert client(channel).connection_pool is channel.pool
    assert client(channel).ping()

"""A worker outlives its broker: what it copies when Redis goes away, it finishes, and then it listens again. And it
talks to it with one client (``workers.channel``)."""

from typing import Any

from celery.signals import worker_init
from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.channel import keep_clients

_channels: Any = redis.Channel
_connect_as_before = _channels._connparams  # noqa: SLF001 - there is no other place to say it


def _connect(channel: Any, asynchronous: bool = False) -> Any:
    if channel.connection is None or channel.connection.client is None:
        message = "the channel's connection is gone"
        raise RedisConnectionError(message)
    return _connect_as_before(channel, asynchronous)


@worker_init.connect
def survive_its_loss(**_: Any) -> None:
    """Celery 5.7 lets go of a lost connection before it closes its channels, and acknowledges on them later. A channel
    without a connection then fails with an AttributeError, which ends the process: every worker at once, whenever Redis
    was restarted while they worked. It is a lost connection, and said to be one, it is handled as one."""
    _channels._connparams = _connect  # noqa: SLF001
    keep_clients()

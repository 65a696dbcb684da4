"""A worker outlives its broker: what it copies when Redis goes away, it finishes, and then it listens again. And it
talks to it with one client (``workers.channel``)."""

from typing import Any

from celery.signals import worker_init
from kombu.transport import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.channel import keep_clients

_channels: Any = redis.Channel
_connect_as_before = _channels._connparams  # noqa: SLF001 - there is no other place to say it
_put_back_as_before = _channels._restore  # noqa: SLF001


def _connect(channel: Any, asynchronous: bool = False) -> Any:
    if channel.connection is None or channel.connection.client is None:
        message = "the channel's connection is gone"
        raise RedisConnectionError(message)
    return _connect_as_before(channel, asynchronous)


def _put_back(channel: Any, message: Any, leftmost: bool = False) -> None:
    """Where it cannot be put back nothing is lost, for the row's mark brings it back. kombu would write the messages
    to a file in the temporary folder, grants and all, and wait for a silent host with each of them."""
    if not getattr(channel, "_is_lost", False):
        try:
            _put_back_as_before(channel, message, leftmost)
        except channel.connection_errors:
            channel._is_lost = True  # noqa: SLF001


@worker_init.connect
def survive_its_loss(**_: Any) -> None:
    """Celery 5.7 lets go of a lost connection before it closes its channels, and puts back on them what was in hand. A
    channel without a connection then fails with an AttributeError. It is a lost connection, and said to be one, it is
    handled as one."""
    _channels._connparams = _connect  # noqa: SLF001
    _channels._restore = _put_back  # noqa: SLF001
    keep_clients()

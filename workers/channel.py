"""kombu's channel to Redis, with one client for as long as it has one pool.

kombu makes a new ``redis.Redis`` for every message that it publishes: a third of a millisecond each, for an object that
holds nothing but the pool and is meant to be shared by threads.
"""

from typing import Any

from kombu.transport import redis

_channels: Any = redis.Channel
_create_as_before = _channels._create_client  # noqa: SLF001 - there is no setting for it


def _client(channel: Any, asynchronous: bool = False) -> Any:
    if asynchronous:
        return _create_as_before(channel, asynchronous)
    pool = channel.pool
    kept_pool, client = getattr(channel, "_kept_client", (None, None))
    if kept_pool is not pool:
        client = _create_as_before(channel)
        channel._kept_client = pool, client  # noqa: SLF001
    return client


def keep_clients() -> None:
    """For every channel of this process. Again, it changes nothing."""
    _channels._create_client = _client  # noqa: SLF001

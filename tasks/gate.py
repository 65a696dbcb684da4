"""The gate: every message of our queues passes ``workers.intake`` before Celery or kombu looks into it.

It stands where a message has left Redis and is in nobody's books yet. One that fails further in counts as taken: it is
put back when its worker stops, and does to the next one what it did to this one.
"""

from typing import Any

from celery.signals import worker_init
from kombu.transport import redis

from workers.intake import QUEUES, take
from workers.telemetry import log

_transport: Any = redis.Transport
_channels: Any = redis.Channel
_module: Any = redis
_deliver_as_before = _transport._deliver  # noqa: SLF001 - there is no other place to stand
_read_as_before = _channels._brpop_read  # noqa: SLF001
_loads_as_before = _module.loads


class UnreadableError(ValueError):
    """What was in the list is not JSON."""


def _loads(text: Any) -> Any:
    try:
        return _loads_as_before(text)
    except Exception as error:  # noqa: BLE001 - kombu's own decoders raise what they like
        raise UnreadableError(type(error).__name__) from None


def _read(channel: Any, **options: Any) -> Any:
    try:
        return _read_as_before(channel, **options)
    except UnreadableError:
        # Which of the queues it was in is not known any more, and does not matter.
        queue = next(name for name in channel.connection._callbacks if name in QUEUES)  # noqa: SLF001
        _deliver(channel.connection, None, queue)
        return True


def _deliver(transport: Any, message: Any, queue: Any) -> None:
    if queue in QUEUES:
        _deliver_as_before(transport, take(message, queue), queue)
        return
    try:
        _deliver_as_before(transport, message, queue)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # On Celery's own channel, by which workers are asked how they are: whoever asks nonsense gets no answer.
        log("worker").warning("control_refused", error=type(error).__name__)


@worker_init.connect
def guard(**_: Any) -> None:
    _module.loads = _loads
    _channels._brpop_read = _read  # noqa: SLF001
    _transport._deliver = _deliver  # noqa: SLF001

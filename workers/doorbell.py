"""Ringing for a worker: the one place that publishes to Celery, and the wire contract of what it publishes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from workers.broker import Broker
from workers.channel import keep_clients

UPLOAD_TASK = "recordings.upload"
UPLOAD_QUEUE = "upload"
SWEEP_TASK = "recordings.sweep"
ERASE_TASK = "recordings.erase"
#: Of its own, so that no upload waits in line behind a sweep.
MAINTENANCE_QUEUE = "maintenance"
DOWNLOAD_TASK = "recordings.download"
#: Of its own, since a user waits: a worker of its own may serve it (docs/scaling.md).
DOWNLOAD_QUEUE = "download"
EXPORT_TASK = "recordings.export"
#: Of its own, since one takes minutes: nobody who waits for a link waits behind it.
EXPORT_QUEUE = "export"
RENDITION_TASK = "recordings.rendition"
#: Of its own, since it needs processors: served by processes, and only where it is asked for (tasks/app.py).
RENDITION_QUEUE = "rendition"
#: A rendition takes longer than a link; it is rung for again when it should long have been made.
RENDITION_MARK = timedelta(seconds=120)
#: Uploads in one doorbell. More would save little: of ten, each bears a tenth of a message's cost.
MOST_TOGETHER = 10
#: The message header that carries the task grant. Headers, because Flower and events show arguments (section 5).
GRANT_HEADER = "task_grant"
#: The one beside it, with what PostgreSQL need not find out by itself: the memo of that grant, and its proof.
MEMO_HEADER = "task_memo"
#: What a user asked for: its organisation, its id, and the grant for it.
Asked = tuple[UUID, UUID, str]
#: What goes into one message: its organisation, the ids beside it, and the headers with the grant for them.
_Ring = tuple[UUID, Mapping[str, Any], Mapping[str, Any]]


class BrokerLostError(Exception):
    """The broker cannot be reached, or refuses. Says the kind of error only."""


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One message: uploads of an organisation, and the grant that names these and no others. Arguments are ids only
    (law 7)."""

    org_id: UUID
    upload_ids: tuple[UUID, ...]
    grant: str
    memo: tuple[str, str] = ("", "")


class Bell:
    """A connection to the broker, kept by the dispatcher."""

    def __init__(self, redis_url: str) -> None:
        keep_clients()
        self._app = Celery("recordings-dispatcher", set_as_current=False)
        self._app.config_from_object("celeryconfig")
        self._app.conf.update(Broker.parse(redis_url).celery_settings)
        # Of each queue, how many can be waiting: what there was when it was asked, and what was rung since.
        self._at_most: dict[str, int] = {}

    def waiting(self) -> int:
        """Doorbells for uploads that no worker has taken out. Raises ``BrokerLostError``."""
        try:
            with self._app.producer_or_acquire() as producer:
                self._at_most[UPLOAD_QUEUE] = _waiting(producer, UPLOAD_QUEUE)
                return self._at_most[UPLOAD_QUEUE]
        except (KombuError, RedisError, OSError) as error:
            self._at_most.pop(UPLOAD_QUEUE, None)
            raise BrokerLostError(type(error).__name__) from error

    def ring(self, doorbells: Sequence[Doorbell], *, most: int) -> int:
        """Publish all of them in one round trip, and return how many older ones were thrown away for it.

        A doorbell is stale when its mark on the row has run out, which the claim finds by the database's clock: none of
        a host's is asked. But it lies in the broker until a worker takes it out. With no worker there, every mark that
        runs out adds another: more than ``most`` that wait are all thrown away first.
        Raises ``BrokerLostError``: some may have gone out then.
        """
        rings = [
            (
                bell.org_id,
                {"upload_ids": [str(upload_id) for upload_id in bell.upload_ids]},
                {GRANT_HEADER: bell.grant, MEMO_HEADER: bell.memo},
            )
            for bell in doorbells
        ]
        return self._ring_each(UPLOAD_QUEUE, UPLOAD_TASK, rings, most)

    def ring_for_downloads(self, asked: Sequence[Asked], *, most: int) -> int:
        """The same for users' requests."""
        return self._ring_each(DOWNLOAD_QUEUE, DOWNLOAD_TASK, _named("download_id", asked), most)

    def ring_for_renditions(self, asked: Sequence[Asked], *, most: int) -> int:
        """The same for those that want another format."""
        return self._ring_each(RENDITION_QUEUE, RENDITION_TASK, _named("download_id", asked), most)

    def ring_for_exports(self, asked: Sequence[Asked], *, most: int) -> int:
        """The same for users' exports."""
        return self._ring_each(EXPORT_QUEUE, EXPORT_TASK, _named("export_id", asked), most)

    def ring_for_upkeep(self, task: str, asked: Sequence[tuple[UUID, str]], *, most: int) -> int:
        """The same for sweeps and erasures: for each organisation the grant for it."""
        rings: list[_Ring] = [(org_id, {}, {GRANT_HEADER: grant}) for org_id, grant in asked]
        return self._ring_each(MAINTENANCE_QUEUE, task, rings, most)

    def _ring_each(self, queue: str, task: str, rings: Sequence[_Ring], most: int) -> int:
        with self._together(queue, most, len(rings)) as (producer, forgotten):
            for org_id, ids, headers in rings:
                self._app.send_task(
                    task,
                    kwargs={"org_id": str(org_id), **ids},
                    headers=headers,
                    queue=queue,
                    producer=producer,
                    declare=[],  # a fifth of the time, for a list that Redis makes when something is put into it
                )
        return forgotten

    @contextmanager
    def _together(self, queue: str, most: int, count: int) -> Iterator[tuple[Producer, int]]:
        try:
            with self._app.producer_or_acquire() as producer:
                forgotten = self._forget_unheard(producer, queue, most)
                with producer.batch():
                    yield producer, forgotten
                self._at_most[queue] += count
        except (KombuError, RedisError, OSError) as error:
            self._at_most.pop(queue, None)
            raise BrokerLostError(type(error).__name__) from error

    def _forget_unheard(self, producer: Producer, queue: str, most: int) -> int:
        # Asked only when there may be too many: a question is a third of what ringing once takes.
        if self._at_most.get(queue, most + 1) > most:
            self._at_most[queue] = _waiting(producer, queue)
        if self._at_most[queue] <= most:
            return 0
        self._at_most[queue] = 0
        channel: Any = producer.channel
        return int(channel.queue_purge(queue=queue))

    def close(self) -> None:
        self._app.close()


def _named(name: str, asked: Sequence[Asked]) -> list[_Ring]:
    return [(org_id, {name: str(row_id)}, {GRANT_HEADER: grant}) for org_id, row_id, grant in asked]


def _waiting(producer: Producer, queue: str) -> int:
    channel: Any = producer.channel
    return int(channel.queue_declare(queue=queue).message_count)

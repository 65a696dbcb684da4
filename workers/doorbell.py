"""Ringing for a worker: the one place that publishes to Celery, and the wire contract of what it publishes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from celery import Celery

UPLOAD_TASK = "recordings.upload"
#: The message header that carries the task grant. Headers, because Flower and events show arguments (section 5).
GRANT_HEADER = "task_grant"


@dataclass(frozen=True, slots=True)
class Doorbell:
    """One message: uploads of one organisation, and the grant to act for it. Arguments are ids only (law 7)."""

    org_id: UUID
    upload_ids: tuple[UUID, ...]
    grant: str


class Bell:
    """A connection to the broker, kept by the dispatcher."""

    def __init__(self, redis_url: str) -> None:
        self._app = Celery("recordings-dispatcher", broker=redis_url, set_as_current=False)
        self._app.config_from_object("celeryconfig")

    def ring(self, doorbells: Sequence[Doorbell], *, expires_s: float) -> None:
        """Publish all of them in one round trip. They expire when their mark on the row does, so that the broker keeps
        none that has been rung again. Raises kombu's ``OperationalError`` when the broker cannot be reached: some may
        have gone out."""
        with self._app.producer_or_acquire() as producer, producer.batch():
            for doorbell in doorbells:
                self._app.send_task(
                    UPLOAD_TASK,
                    kwargs={
                        "org_id": str(doorbell.org_id),
                        "upload_ids": [str(upload_id) for upload_id in doorbell.upload_ids],
                    },
                    headers={GRANT_HEADER: doorbell.grant},
                    expires=expires_s,
                    producer=producer,
                )

    def close(self) -> None:
        self._app.close()

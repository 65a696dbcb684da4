"""One organisation's queue, and workers at it."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, LiteralString
from uuid import UUID, uuid4

from psycopg.rows import dict_row
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from tests.database import Database
from workers.queue import Queue
from workers.uploads import Copied, Upload

COPIED = Copied(
    object_key="o/2026/01/c/u.wav",
    size_bytes=1234,
    sha256="ab" * 32,
    content_type="audio/wav",
    format="wav",
    fetch_ms=20,
    store_ms=10,
)


@dataclass(frozen=True, slots=True)
class RungWorker(Queue):
    """A worker whose doorbell the dispatcher rang: a row that could be rung for has its mark when it is claimed."""

    database: Database

    def claim(self, grant: str, upload_id: UUID, claim_id: UUID | None = None) -> Upload | None:
        self.database.run(
            "UPDATE recording_upload_queue SET dispatched_until = now() + interval '1 minute' WHERE id = %s"
            " AND (status = 'pending' OR status = 'processing' AND lease_expires_at <= now())",
            upload_id,
        )
        return Queue.claim(self, grant, upload_id, claim_id or uuid4())


@dataclass(frozen=True)
class Desk:
    database: Database
    org_id: UUID
    grant: str

    @classmethod
    def open(cls, database: Database) -> "Desk":
        org_id = database.organisation()
        return cls(database, org_id, database.grant(org_id))

    def close(self) -> None:
        self.engine.dispose()

    @cached_property
    def engine(self) -> Engine:
        return self.database.engine("recording_worker", poolclass=QueuePool, pool_size=8)

    def worker(self, name: str = "worker@one", lease_s: float = 60.0) -> RungWorker:
        return RungWorker(self.engine, name, timedelta(seconds=lease_s), self.database)

    def enqueue(self, **more: Any) -> UUID:
        return self.database.enqueue(self.org_id, **more).upload_id

    def claimed(self, name: str = "worker@one", **more: Any) -> Upload:
        upload = self.worker(name).claim(self.grant, self.enqueue(**more))
        assert upload is not None
        return upload

    def again(self, upload: Upload, name: str = "worker@two") -> Upload:
        """The same row, taken over by another worker after the lease ran out."""
        self.expire(upload.id)
        taken = self.worker(name).claim(self.grant, upload.id)
        assert taken is not None
        return taken

    def expire(self, upload_id: UUID) -> None:
        self.change(upload_id, "lease_expires_at = now() - interval '1 second'")

    def change(self, upload_id: UUID, what: LiteralString) -> None:
        assert self.database.run(f"UPDATE recording_upload_queue SET {what} WHERE id = %s", upload_id) == 1

    def row(self, upload_id: UUID) -> dict[str, Any]:
        (found,) = self._rows("SELECT * FROM recording_upload_queue WHERE id = %s", upload_id)
        return found

    def call(self, upload_id: UUID) -> dict[str, Any]:
        (found,) = self._rows(
            "SELECT c.* FROM call_logs c JOIN recording_upload_queue q ON q.call_id = c.id WHERE q.id = %s", upload_id
        )
        return found

    def metrics(self, upload_id: UUID) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM recording_upload_metrics WHERE upload_id = %s ORDER BY attempt", upload_id)

    def failures(self, upload_id: UUID) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM failed_recording_uploads WHERE upload_id = %s", upload_id)

    def everything(self, upload_id: UUID) -> Any:
        """All that is stored about an upload, to see that nothing changed."""
        return self.row(upload_id), self.call(upload_id), self.metrics(upload_id), self.failures(upload_id)

    def _rows(self, query: LiteralString, upload_id: UUID) -> list[dict[str, Any]]:
        with self.database.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, (upload_id,)).fetchall()

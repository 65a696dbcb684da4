"""Enqueueing in our database, and when it was settled, for peers that use our tables."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

from bench.ground import Ground
from bench.peers.peer import PeerFailedError, paced, wait_for
from workers.enqueue import enqueue

_ENQUEUE = """
SELECT e.upload_id, c.org_id FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS c (org_id, id, url)
CROSS JOIN LATERAL public.enqueue_recording(
    org_id => c.org_id, provider => 'https', provider_call_id => c.id, source_url => c.url) AS e
"""
_LEFT = """
SELECT count(*) FROM public.recording_upload_queue WHERE status IN ('pending', 'processing') AND recording_id LIKE %s
"""
_SETTLED = """
SELECT recording_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::double precision
FROM public.recording_upload_queue WHERE recording_id LIKE %s AND status = 'completed'
"""
_ENDED = (
    "SELECT status, error_code, count(*) FROM public.recording_upload_queue WHERE recording_id LIKE %s GROUP BY 1, 2"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Uploads that were enqueued together. ``began`` is the Unix time of their commit."""

    name: str
    began: float
    rows: Sequence[tuple[UUID, UUID]] = ()


@dataclass(slots=True)
class Uploads:
    ground: Ground
    size: int

    def enqueue_all(self, count: int) -> Batch:
        """In one transaction: all are there at once. Organisations in turn."""
        name, orgs = uuid4().hex[:8], self.ground.org_ids
        parameters = (
            [orgs[number % len(orgs)] for number in range(count)],
            [f"{name}-{number}" for number in range(count)],
            [self.ground.place.url(self.size, number) for number in range(count)],
        )
        with self._login() as connection:
            with connection.transaction():
                rows = connection.execute(_ENQUEUE, parameters).fetchall()
                began = time.time()
            return Batch(name, began, rows)

    def enqueue_steadily(self, count: int, rate: float) -> tuple[Batch, list[float]]:
        """One by one, each in a transaction of its own; and when each was committed."""
        name, committed = uuid4().hex[:8], []
        with self._login() as connection:

            def act(number: int) -> None:
                org_id = self.ground.org_ids[number % len(self.ground.org_ids)]
                url, call = self.ground.place.url(self.size, number), f"{name}-{number}"
                enqueue(connection, org_id=org_id, provider="https", provider_call_id=call, source_url=url)
                committed.append(time.time())

            paced(count, rate, act)
        return Batch(name, committed[0]), committed

    def await_all(self, batch: Batch) -> dict[int, float]:
        """By number, the Unix time of the commit that settled it. PeerFailedError if one was not stored."""
        with self.ground.admin() as connection:
            wait_for(lambda: not _one(connection, _LEFT, f"{batch.name}-%"), "uploads are not settled")
            settled = connection.execute(_SETTLED, (f"{batch.name}-%",)).fetchall()
            ended = connection.execute(_ENDED, (f"{batch.name}-%",)).fetchall()
        if any(status != "completed" for status, _, _ in ended):
            raise PeerFailedError(f"not all were stored: {ended}")
        return {int(name.rpartition("-")[2]): at for name, at in settled}

    def _login(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.ground.environment("call_handler")["DATABASE_URL"], autocommit=True)


def _one(connection: psycopg.Connection[Any], statement: str, parameter: str) -> int:
    row = connection.execute(statement, (parameter,)).fetchone()
    return int(row[0]) if row else 0

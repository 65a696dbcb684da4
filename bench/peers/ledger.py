"""The naive peers' table: one row a recording."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.ground import Ground
from bench.peers.peer import wait_for

_SCHEMA = """
CREATE TABLE recordings (
    id bigint PRIMARY KEY, source_url text NOT NULL, status text NOT NULL DEFAULT 'pending', object_key text,
    completed_at timestamptz
)
"""
_INSERT = "INSERT INTO recordings (id, source_url) SELECT * FROM unnest(%s::bigint[], %s::text[])"
_LEFT = "SELECT EXISTS (SELECT FROM recordings WHERE id = ANY(%s) AND status <> 'completed')"
_SETTLED = (
    "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::double precision FROM recordings WHERE id = ANY(%s)"
)


@dataclass(slots=True)
class Ledger:
    """In a database of its own, made new, over one connection."""

    ground: Ground
    name: str
    size: int
    issued: int = 0
    connection: psycopg.Connection[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.ground.new_database(self.name)
        self.connection = self.ground.admin(self.name)
        self.connection.execute(_SCHEMA)

    def close(self) -> None:
        self.connection.close()

    @property
    def url(self) -> str:
        return self.ground.database_url(self.name)

    def add(self, count: int, *, size: int | None = None) -> range:
        """Rows for so many recordings, committed; of the ledger's size unless another is named."""
        ids = range(self.issued, self.issued + count)
        self.issued += count
        self.connection.execute(
            _INSERT, (list(ids), [self.ground.place.url(size or self.size, number) for number in ids])
        )
        return ids

    def await_all(self, ids: Sequence[int]) -> dict[int, float]:
        """By id, the Unix time of the commit that settled it."""

        def is_over() -> bool:
            row = self.connection.execute(_LEFT, (list(ids),)).fetchone()
            return not (row and row[0])

        wait_for(is_over, f"{self.name}: uploads are not done")
        return dict(self.connection.execute(_SETTLED, (list(ids),)).fetchall())

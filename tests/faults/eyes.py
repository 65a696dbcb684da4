"""The administrator's view of the database, which may be away at any moment."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString

import psycopg

LEADER = """
SELECT pid, client_port FROM pg_stat_activity
WHERE pid = (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 7263002 LIMIT 1)
"""
DISPATCHERS = "SELECT client_port FROM pg_stat_activity WHERE application_name = 'recordings-dispatcher'"


class Eyes:
    """One connection, made again when it is lost. For one thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection[Any] | None = None

    def ask(self, query: LiteralString, *parameters: Any) -> Sequence[tuple[Any, ...]] | None:
        """The rows; None while the database is away. A kept connection may have died since: then on a new one."""
        for _ in range(2):
            was_kept = self._connection is not None
            try:
                if self._connection is None:
                    self._connection = psycopg.connect(self.url, autocommit=True, connect_timeout=3)
                return self._connection.execute(query, parameters).fetchall()
            except psycopg.OperationalError:
                self.close()
                if not was_kept:
                    break
        return None

    def leader(self) -> tuple[int, int] | None:
        """The backend that holds the dispatcher's lock, and its client's port."""
        rows = self.ask(LEADER)
        return (rows[0][0], rows[0][1]) if rows else None

    def dispatchers(self) -> set[int]:
        """The client ports of all dispatchers that are connected."""
        return {row[0] for row in self.ask(DISPATCHERS) or ()}

    def close(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

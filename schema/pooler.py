"""A pooler before PostgreSQL, such as PgBouncer: how to tell, and what must not be done behind one (decision 19).

It answers cancel requests itself and so hands out keys of its own: the process id that came with a connection is then
not the server's. That is all that is asked here; one question for each new connection, none for a transaction.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

_BACKEND = "SELECT pg_catalog.pg_backend_pid()"
_LOOKS = 5
#: In ``Connection.info`` of a connection that a pooler handed out.
BEHIND_A_POOLER = "behind_a_pooler"


class TransactionPoolerError(Exception):
    """The connection is shared with others from one transaction to the next, and the process must have its own."""


def suited_to_poolers(engine: Engine) -> Engine:
    """The engine, which prepares no statement on connections that a pooler handed out.

    psycopg prepares what it runs often, under names that count up from zero in each client. Behind a pooler that
    shares server connections, one client's name is another one's statement, run with values that were not meant for it.
    On a direct connection nothing changes.
    """
    event.listen(engine, "connect", _suit)
    return engine


def _suit(connection: psycopg.Connection[Any], record: ConnectionPoolEntry) -> None:
    before, connection.autocommit = connection.autocommit, True
    if not _is_direct(connection):
        connection.prepare_threshold = None
        record.info[BEHIND_A_POOLER] = True
    connection.autocommit = before


def refuse_transaction_pooler(connection: psycopg.Connection[Any], dial: Callable[[], psycopg.Connection[Any]]) -> None:
    """Raise ``TransactionPoolerError`` where ``connection`` has no server process of its own. A pooler in session mode
    is as good as none.

    Both, and what ``dial`` opens beside it, must commit each statement. A pooler that shares hands a newcomer the
    process that was given back last, or gives us another one the next time; we look several times, since somebody else
    may come in between.
    """
    if _is_direct(connection):
        return
    mine = _backend(connection)
    for _ in range(_LOOKS):
        with dial() as newcomer:
            if _backend(newcomer) == mine or _backend(connection) != mine:
                raise TransactionPoolerError(
                    "DATABASE_URL leads to a pooler in transaction mode. This process listens for notifications and "
                    "holds a lock, which belong to one connection: give it PostgreSQL's own address, or a pooler in "
                    "session mode."
                )


def _is_direct(connection: psycopg.Connection[Any]) -> bool:
    return connection.info.backend_pid == _backend(connection)


def _backend(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_BACKEND, prepare=False).fetchone()
    return int(row[0]) if row else 0

"""The only place that says for whom a transaction acts (laws 2 and 4).

Both contexts are set with ``set_config(…, true)``: they end with the transaction, on every path, so a pooled
connection carries nothing over to the next user of it, and what somebody left there for the session is not asked.
Neither is a promise of the caller: a grant is verified by the database, and claims are only ever set by code that has
verified the token they came from.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, PoolProxiedConnection, text
from sqlalchemy.exc import DBAPIError

from schema.grant import Grant
from schema.pooler import BEHIND_A_POOLER

#: As PostgreSQL is asked, with named parameters; and as it answers.
Statement = tuple[str, Mapping[str, Any]]
Rows = Sequence[tuple[Any, ...]]
_Driver = psycopg.Connection[Any]

# The temporary schema last, by its name: unnamed it comes first, for types and tables, and whoever used the connection
# before may have left a type there whose check runs wherever a statement of ours casts.
_PATH = "set_config('search_path', 'public, pg_temp', true)"
_GRANT = f"SELECT set_config('app.task_grant', %s, true), {_PATH}"
_MEMO = "set_config('app.task_memo', %s, true), set_config('app.task_memo_proof', %s, true)"
_GRANT_AND_MEMO = f"{_GRANT}, {_MEMO}"
#: As long as a commit may take, and far from the second after which PostgreSQL looks for deadlocks.
_TOGETHER_MS = 50
_GRANT_TOGETHER = f"{_GRANT_AND_MEMO}, set_config('lock_timeout', '{_TOGETHER_MS}ms', true)"
_CLAIMS = f"SELECT set_config('role', :role, true), set_config('request.jwt.claims', :claims, true), {_PATH}"


@contextmanager
def task_transaction(engine: Engine, grant: str) -> Iterator[Connection]:
    """A transaction that acts for the organisation of a task grant (DESIGN section 5), and for no other.

    ``engine`` logs in as ``recording_worker``. Nothing is checked here: the first statement that touches a table raises
    SQLSTATE 42501 if the grant is missing, edited, expired or another audience's.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql(_GRANT, (grant,))
        yield connection


@contextmanager
def user_transaction(engine: Engine, claims: Mapping[str, Any] | None) -> Iterator[Connection]:
    """A transaction that acts as a signed-in user, by the claims of a token that has been verified already.

    ``engine`` logs in as ``authenticator``, which can do nothing itself. Without claims it acts as ``anon``.
    """
    role = "authenticated" if claims is not None else "anon"
    with engine.begin() as connection:
        connection.execute(
            text(_CLAIMS),
            {"role": role, "claims": json.dumps(claims) if claims is not None else ""},
        )
        yield connection


def run_as_task(engine: Engine, grant: str, statement: str, parameters: Mapping[str, Any]) -> Rows:
    """One statement in one task transaction, in one round trip: grant, statement and commit go out together.

    Behind a pooler they go one after the other: psycopg ends a pipeline with a Flush, and one that comes late there
    takes a server connection which nothing gives back.

    Returns its rows, committed. For the statements of the hot path, each of which is a whole decision of the queue.
    Errors are psycopg's; a connection that broke is dropped from the pool, together with the others of its age.
    """
    return run_all_as_task(engine, grant, (statement, parameters))[0]


def run_all_as_task(engine: Engine, grant: str, *statements: Statement) -> Sequence[Rows]:
    """The same for statements that take place together or not at all: the rows of each.

    While they wait for one another they hold what others may wait for, and somebody who comes the other way round would
    wait for ever. So several of them wait for no lock longer than ``_TOGETHER_MS``: ``LockNotAvailable`` then, and each
    may be asked by itself.
    """
    with closing(_connect(engine)) as pooled:
        driver: _Driver = pooled.driver_connection  # type: ignore[assignment]
        run = _one_by_one if pooled.info.get(BEHIND_A_POOLER) else _at_once
        is_sound = False
        try:
            rows = run(driver, grant, statements)
        except psycopg.OperationalError:
            if driver.closed:
                engine.dispose()
            raise
        except psycopg.Error:
            # What is behind an error PostgreSQL passes over, and psycopg may take it for prepared from then on.
            is_sound = len(statements) == 1 or run is _one_by_one
            raise
        else:
            is_sound = True
            return rows
        finally:
            # Or it is stuck in its pipeline, as after an error of the commit itself.
            if not is_sound or driver.autocommit:
                pooled.invalidate()


def _at_once(driver: _Driver, grant: str, statements: Sequence[Statement]) -> Sequence[Rows]:
    """No BEGIN and no COMMIT: PostgreSQL takes what comes before a pipeline's end for one transaction, commits it
    there, and runs nothing behind an error. Each would be a message more, for us to write and for it to answer."""
    driver.autocommit = True
    try:
        with driver.pipeline():
            cursors = _run(driver, grant, statements)
        return [cursor.fetchall() for cursor in cursors]
    except IndexError as error:
        # An error of the commit itself is an answer more than psycopg waits for. Mostly it raises that; where all the
        # answers come with one read it looks for the question to it instead, and what it heard is lost.
        driver.close()
        raise psycopg.OperationalError("the transaction was not committed, or its answer was lost") from error
    finally:
        # Whoever takes the connection next has transactions begun for them. Were this forgotten, each statement would
        # be a transaction alone, and without a grant: refused.
        if driver.info.transaction_status == TransactionStatus.IDLE:
            driver.autocommit = False


def _one_by_one(driver: _Driver, grant: str, statements: Sequence[Statement]) -> Sequence[Rows]:
    rows = [cursor.fetchall() for cursor in _run(driver, grant, statements)]
    driver.execute("COMMIT")
    return rows


def _run(driver: _Driver, grant: str, statements: Sequence[Statement]) -> Sequence[psycopg.Cursor[Any]]:
    memo = (grant.memo, grant.proof) if isinstance(grant, Grant) else ("", "")
    driver.execute(_GRANT_AND_MEMO if len(statements) == 1 else _GRANT_TOGETHER, (grant, *memo))
    return [driver.execute(statement, parameters) for statement, parameters in statements]


def _connect(engine: Engine) -> PoolProxiedConnection:
    """Without SQLAlchemy's own connection round it, which costs as much as a statement's parameters. The first one of
    an engine asks what server that is, and its errors are SQLAlchemy's: they are the driver's here too."""
    try:
        return engine.raw_connection()
    except DBAPIError as error:
        if error.orig is None:
            raise
        raise error.orig from None

"""Temporary types and tables: whoever can run SQL can make them, and PostgreSQL looks there first unless told not to.

A type's check runs wherever something is cast to it. In a function that acts as its owner it would run as the owner,
who may see more; on a connection that is shared it would run in the next one's transaction.
"""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, text
from sqlalchemy.pool import QueuePool

from schema import roles
from schema.tenancy import run_as_task, task_transaction, user_transaction
from tests.database import Database

TYPES = [
    "text",
    "jsonb",
    "json",
    "uuid",
    "bytea",
    "timestamptz",
    "interval",
    "int4",
    "int8",
    "float8",
    "numeric",
    "bool",
    "name",
]

# It says who runs it, in a message, since what it writes could be rolled back.
SNARE = """
CREATE FUNCTION pg_temp.caught_{type}(v pg_catalog.{type}) RETURNS pg_catalog.bool LANGUAGE plpgsql AS $$
BEGIN RAISE WARNING 'caught %', current_user; RETURN true; END $$;
CREATE DOMAIN pg_temp.{type} AS pg_catalog.{type} CHECK (pg_temp.caught_{type}(VALUE))
"""

CALLABLE = """
SELECT p.oid::pg_catalog.regprocedure::pg_catalog.text, p.pronargs
FROM pg_catalog.pg_proc AS p
WHERE p.pronamespace IN ('public'::pg_catalog.regnamespace, 'app'::pg_catalog.regnamespace)
  AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
ORDER BY 1
"""


def caught(database: Database, login: str, role: str = "") -> set[str]:
    """In whose name somebody else's check could run, when the login calls every function that it may."""
    heard: set[str] = set()
    with database.connect(login) as hostile, hostile.transaction(force_rollback=True):
        hostile.add_notice_handler(lambda said: heard.add(said.message_primary or ""))
        hostile.execute("SELECT set_config('app.task_grant', %s, true)", (database.grant(database.organisation()),))
        if role:
            hostile.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        functions = hostile.execute(CALLABLE).fetchall()
        for name in TYPES:
            hostile.execute(SNARE.format(type=name))
        for signature, arguments in functions:
            call = signature.partition("(")[0] + "(" + ", ".join(["NULL"] * arguments) + ")"
            try:
                with hostile.transaction():
                    hostile.execute(f"SELECT * FROM {call}")
            except psycopg.Error:
                continue
    names = {said.removeprefix("caught ") for said in heard if said.startswith("caught ")}
    return names - {login, role}


@pytest.mark.parametrize("login", roles.LOGINS)
def test_a_type_that_a_login_leaves_about_is_cast_to_by_no_function_of_ours(shared: Database, login: str) -> None:
    assert caught(shared, login) == set()


def test_nor_one_that_a_user_leaves_about(shared: Database) -> None:
    assert caught(shared, "authenticator", "authenticated") == set()


def test_the_snare_would_notice(database: Database) -> None:
    """What it was before: ``search_path = ''`` reads as if nothing could be found, and the temporary schema can."""
    database.run("ALTER FUNCTION app.task_org_id() SET search_path = ''")
    assert caught(database, "recording_worker") == {"recording_grant_verifier"}


STEAL = """
CREATE TEMP TABLE loot (seen pg_catalog.text);
GRANT ALL ON pg_temp.loot TO PUBLIC;
CREATE FUNCTION pg_temp.steal(v pg_catalog.timestamptz) RETURNS pg_catalog.bool LANGUAGE plpgsql AS $$
BEGIN INSERT INTO pg_temp.loot SELECT org_id::pg_catalog.text FROM public.call_logs; RETURN true; END $$;
CREATE DOMAIN pg_temp.timestamptz AS pg_catalog.timestamptz CHECK (pg_temp.steal(VALUE));
CREATE TEMP TABLE leads (org_id pg_catalog.uuid, name pg_catalog.text);
GRANT ALL ON pg_temp.leads TO PUBLIC
"""


def plant(connection: Connection) -> None:
    for statement in STEAL.split(";\nCREATE"):
        connection.exec_driver_sql(statement if statement.lstrip().startswith("CREATE") else f"CREATE{statement}")


@pytest.fixture
def two(shared: Database) -> tuple[UUID, UUID]:
    made = shared.organisation("A"), shared.organisation("B")
    for org in made:
        shared.enqueue(org)
    return made


def test_what_one_organisation_leaves_on_a_connection_reads_nothing_of_the_next(
    shared: Database, two: tuple[UUID, UUID]
) -> None:
    """SQL injected into a transaction of A, then B's own work on the same connection, then A again."""
    hostile, victim = two
    engine = shared.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    try:
        with task_transaction(engine, shared.grant(hostile)) as connection:
            plant(connection)
        cast = "SELECT org_id, %(at)s::timestamptz FROM public.call_logs"
        rows = run_as_task(engine, shared.grant(victim), cast, {"at": datetime.now(UTC)})
        assert [row[0] for row in rows] == [victim]
        with task_transaction(engine, shared.grant(victim)) as connection:
            assert connection.scalar(text("SELECT '2026-01-01'::timestamptz")) is not None
        with engine.begin() as connection:
            if connection.scalar(text("SELECT to_regclass('pg_temp.loot')")):
                assert connection.scalar(text("SELECT count(*) FROM pg_temp.loot")) == 0
    finally:
        engine.dispose()


def test_what_one_user_leaves_on_a_connection_neither_reads_nor_takes_what_is_the_next_one_s(
    shared: Database, two: tuple[UUID, UUID]
) -> None:
    hostile, victim = ({"role": "authenticated", "app_metadata": {"org_id": str(org)}} for org in two)
    engine = shared.engine("authenticator", poolclass=QueuePool, pool_size=1, max_overflow=0)
    try:
        with user_transaction(engine, hostile) as connection:
            plant(connection)
        with user_transaction(engine, victim) as connection:
            connection.exec_driver_sql("SELECT '2026-01-01'::timestamptz, * FROM call_logs")
            connection.exec_driver_sql("INSERT INTO leads (org_id, name) VALUES (%s, 'a secret')", (two[1],))
        assert shared.one("SELECT count(*) FROM public.leads WHERE org_id = %s", two[1]) == 1
        with user_transaction(engine, hostile) as connection:
            for name in ("loot", "leads"):
                if connection.scalar(text("SELECT to_regclass('pg_temp.' || :name)"), {"name": name}):
                    assert connection.scalar(text(f"SELECT count(*) FROM pg_temp.{name}")) == 0
    finally:
        engine.dispose()

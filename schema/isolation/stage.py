"""The transaction in which everything is asked: two organisations planted, every role at hand, and nothing kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from schema.isolation.cast import Cast
from schema.isolation.contexts import whole_truth
from schema.isolation.outcome import NOTHING, Outcome, Refused
from schema.isolation.rights import ROLES

STRANGER = "stranger"

_Cursor = psycopg.Cursor[tuple[Any, ...]]

_SETTINGS = (
    # Bounded by an index as a worker's login is, and by time: a deployment is at work meanwhile.
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("statement_timeout", "3s"),
    ("lock_timeout", "1s"),
    ("client_min_messages", "notice"),
    ("timezone", "UTC"),
    ("standard_conforming_strings", "on"),
)
_HEAR = """
CREATE SCHEMA {schema};
GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
CREATE FUNCTION {schema}.hear(said text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$BEGIN RAISE NOTICE '%', said; RETURN true; END$$;
GRANT EXECUTE ON FUNCTION {schema}.hear TO PUBLIC;
CREATE ROLE {schema} NOLOGIN NOINHERIT
"""


class CannotAsk(Exception):
    """The login that was given cannot put the questions. The message says what to do."""


@contextmanager
def staged(connection: psycopg.Connection[Any], cast: Cast) -> Iterator[Outcome]:
    """What came of planting: nothing, if all is well. A savepoint ``cell`` stands after it; all of it is undone."""
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=tuple_row) as cursor:
        for name, value in _SETTINGS:
            cursor.execute("SELECT set_config(%s, %s, true)", (name, value))
        _check_administrator(cursor)
        cursor.execute(_HEAR.format(schema=cast.schema).encode())
        _take_on_roles(cursor, cast)
        cursor.execute("SAVEPOINT cell")
        yield _plant(cursor, cast)
        cursor.execute("ROLLBACK TO SAVEPOINT cell")


def _plant(cursor: _Cursor, cast: Cast) -> Outcome:
    """A key that lacks the organisation shows here: the two have rows alike."""
    try:
        cursor.execute(cast.sql().encode())
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        message = "the database has no schema of ours, or an older one: run recordings migrate as administrator"
        raise CannotAsk(message) from None
    except psycopg.IntegrityError as error:
        return Refused(error.sqlstate or "")
    cursor.execute("SAVEPOINT cell")
    return NOTHING


def _check_administrator(cursor: _Cursor) -> None:
    cursor.execute(
        "SELECT rolsuper OR rolbypassrls, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    )
    (bypasses, makes_roles), *_ = cursor.fetchall()
    if not (bypasses and makes_roles):
        message = (
            "DATABASE_URL must be the administrator's, as for recordings migrate: a superuser, or a role with "
            "CREATEROLE and BYPASSRLS (on Supabase: postgres)"
        )
        raise CannotAsk(message)


def _take_on_roles(cursor: _Cursor, cast: Cast) -> None:
    """Every role must be one that the administrator can SET: where it cannot, it makes itself a member for now."""
    version = cursor.connection.info.server_version
    member = "SET" if version >= 160_000 else "MEMBER"
    for role in (*(role.name for role in ROLES if role.name != STRANGER), cast.schema):
        try:
            cursor.execute("SELECT pg_has_role(current_user, %s, %s)", (role, member))
            if cursor.fetchone() == (False,):
                cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
        except psycopg.errors.UndefinedObject:
            message = f"the role {role} does not exist: run recordings migrate as administrator"
            raise CannotAsk(message) from None
        except psycopg.errors.InsufficientPrivilege:
            message = (
                f"the administrator cannot act as {role}, so nothing can be said of it. As a superuser: "
                f"GRANT {role} TO the administrator's role, then run this again"
            )
            raise CannotAsk(message) from None


def leave_behind(connection: psycopg.Connection[Any], cast: Cast) -> None:
    """Two transactions on this connection, one kept and one undone, that said for whom they acted (``schema.tenancy``'s
    way): what a pooled connection has behind it when the next one takes it."""
    for undo in (False, True):
        with connection.transaction(force_rollback=undo):
            for name, value in whole_truth(cast.own).items():
                connection.execute("SELECT set_config(%s, %s, true)", (name, value))

"""Asks the database the questions of the matrix, one after the other, and leaves nothing behind."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from schema.isolation.cast import Cast
from schema.isolation.contexts import whole_truth
from schema.isolation.expectation import Aim, Cell
from schema.isolation.outcome import NOTHING, Outcome, Refused, Rows
from schema.isolation.planting import TABLES
from schema.isolation.rights import PROOFS, ROLES
from schema.isolation.survey import survey

STRANGER = "stranger"
ADMINISTRATOR = "administrator"

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


class Probe:
    """Two organisations planted, and every role at hand, within a transaction that ends in nothing."""

    def __init__(self, connection: psycopg.Connection[Any], cast: Cast) -> None:
        self._cursor = connection.cursor(row_factory=tuple_row)
        self._cast = cast
        self._heard: list[str] = []
        self._whose = {cast.own.ids["user"]: "own", cast.other.ids["user"]: "other"}
        for table in TABLES:
            self._whose |= dict.fromkeys(cast.own.keys(table), "own") | dict.fromkeys(cast.other.keys(table), "other")

    def ask(self, cell: Cell) -> Outcome:
        """What comes of it. Whatever it changed is undone before the next one."""
        self._heard.clear()
        try:
            return self._look(cell)
        except psycopg.Error as error:
            if error.sqlstate is None:  # the connection, not the database's answer
                raise
            return Refused(error.sqlstate)

    def _look(self, cell: Cell) -> Outcome:
        if cell.look.startswith("copy"):
            self._run(self._before(cell))
            return self._count(self._copied(cell.statement))
        self._run(f"{self._before(cell)}; {cell.statement}")
        while self._cursor.nextset():
            pass
        if cell.look == "notices":
            return self._count(self._heard)
        if self._cursor.description is None:
            return _counted(max(self._cursor.rowcount, 0), cell.aim)
        keys = [row[0] for row in self._cursor.fetchall() if row[0] is not None]
        if cell.look == "plan":
            return _counted(sum(int(plan[0]["Plan"]["Actual Rows"]) for plan in keys), cell.aim)
        return self._count([str(key) for key in keys])

    def _copied(self, statement: str) -> list[str]:
        with self._cursor.copy(statement) as copy:
            return (
                [] if "FROM STDIN" in statement else [bytes(line).decode().partition("\t")[0].strip() for line in copy]
            )

    def _run(self, statement: str) -> None:
        self._cursor.execute(statement.encode(), prepare=False)

    def _before(self, cell: Cell) -> str:
        settings = {} if cell.settings is None else {name: cell.settings.get(name, "") for name in PROOFS}
        role = {STRANGER: self._cast.schema, ADMINISTRATOR: "none"}.get(cell.role, cell.role)
        said = [f"set_config('{name}', {_literal(value)}, true)" for name, value in (settings | {"role": role}).items()]
        return f"ROLLBACK TO SAVEPOINT cell; SELECT {', '.join(said)}"

    def _count(self, keys: Sequence[str]) -> Rows:
        whose = [self._whose.get(key, "rest") for key in keys]
        return Rows(own=whose.count("own"), other=whose.count("other"), rest=whose.count("rest"))

    @contextmanager
    def prepared(self, connection: psycopg.Connection[Any]) -> Iterator[Outcome]:
        """The stage, for as long as it is needed; first of all, what came of planting: nothing, if all is well."""
        with connection.transaction(force_rollback=True):
            connection.add_notice_handler(self._hear)
            try:
                self._prepare()
                self._run("SAVEPOINT cell")
                yield self._plant()
                self._run("ROLLBACK TO SAVEPOINT cell")
            finally:
                connection.remove_notice_handler(self._hear)

    def survey(self) -> Iterator[tuple[Cell, Outcome]]:
        """What the roles hold."""
        self._run("ROLLBACK TO SAVEPOINT cell; SET LOCAL ROLE none")
        return survey(self._cursor, self._cast.schema)

    def _prepare(self) -> None:
        for name, value in _SETTINGS:
            self._cursor.execute("SELECT set_config(%s, %s, true)", (name, value))
        self._check_administrator()
        self._run(_HEAR.format(schema=self._cast.schema))
        self._take_on_roles()

    def _plant(self) -> Outcome:
        """A key that lacks the organisation shows here: the two have rows alike."""
        try:
            self._run(self._cast.sql())
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            message = "the database has no schema of ours, or an older one: run recordings migrate as administrator"
            raise CannotAsk(message) from None
        except psycopg.IntegrityError as error:
            return Refused(error.sqlstate or "")
        self._run("SAVEPOINT cell")
        return NOTHING

    def _check_administrator(self) -> None:
        self._cursor.execute(
            "SELECT rolsuper OR rolbypassrls, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        (bypasses, makes_roles), *_ = self._cursor.fetchall()
        if not (bypasses and makes_roles):
            message = (
                "DATABASE_URL must be the administrator's, as for recordings migrate: a superuser, or a role with "
                "CREATEROLE and BYPASSRLS (on Supabase: postgres)"
            )
            raise CannotAsk(message)

    def _take_on_roles(self) -> None:
        """Every role must be one that the administrator can SET: where it cannot, it makes itself a member for now."""
        version = self._cursor.connection.info.server_version
        member = "SET" if version >= 160_000 else "MEMBER"
        for role in (*(role.name for role in ROLES if role.name != STRANGER), self._cast.schema):
            try:
                self._cursor.execute("SELECT pg_has_role(current_user, %s, %s)", (role, member))
                if self._cursor.fetchone() == (False,):
                    self._cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
            except psycopg.errors.UndefinedObject:
                message = f"the role {role} does not exist: run recordings migrate as administrator"
                raise CannotAsk(message) from None
            except psycopg.errors.InsufficientPrivilege:
                message = (
                    f"the administrator cannot act as {role}, so nothing can be said of it. As a superuser: "
                    f"GRANT {role} TO the administrator's role, then run this again"
                )
                raise CannotAsk(message) from None

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        self._heard.append(notice.message_primary or "")


def _counted(count: int, aim: Aim) -> Rows:
    return Rows(own=count) if aim == "own" else Rows(other=count)


def _literal(value: str) -> str:
    """With standard_conforming_strings, which is on wherever nobody turned it off, a backslash is a backslash."""
    return "'" + value.replace("'", "''") + "'"


def leave_behind(connection: psycopg.Connection[Any], cast: Cast) -> None:
    """Two transactions on this connection, one kept and one undone, that said for whom they acted (``schema.tenancy``'s
    way): what a pooled connection has behind it when the next one takes it."""
    for undo in (False, True):
        with connection.transaction(force_rollback=undo):
            for name, value in whole_truth(cast.own).items():
                connection.execute("SELECT set_config(%s, %s, true)", (name, value))

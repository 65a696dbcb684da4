"""Asks the database the questions of the matrix."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row

from schema.isolation.cast import Cast
from schema.isolation.expectation import Aim, Cell
from schema.isolation.outcome import Names, Outcome, Refused, Rows
from schema.isolation.planting import TABLES
from schema.isolation.rights import PROOFS
from schema.isolation.stage import STRANGER
from schema.isolation.survey import survey

ADMINISTRATOR = "administrator"
_BATCH = 32  # cells a round trip: few enough for both ends' buffers, many enough for a database far away
_PIPELINED = ("rows", "plan")


class Probe:
    """Puts cells, within a stage, each as its role in its context. What one changes is undone before the next."""

    def __init__(self, connection: psycopg.Connection[Any], cast: Cast) -> None:
        self._connection = connection
        self._cursor = connection.cursor(row_factory=tuple_row)
        self._cast = cast
        self._whose = {cast.own.ids["user"]: "own", cast.other.ids["user"]: "other"}
        for table in TABLES:
            self._whose |= dict.fromkeys(cast.own.keys(table), "own") | dict.fromkeys(cast.other.keys(table), "other")

    def ask(self, cells: Iterable[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """What comes of each, in their order."""
        waiting = iter(cells)
        while batch := list(islice(waiting, _BATCH)):
            together = [cell for cell in batch if cell.look in _PIPELINED]
            answers = iter(self._pipelined(together))
            yield from ((cell, next(answers) if cell.look in _PIPELINED else self._alone(cell)) for cell in batch)

    def survey(self) -> Iterator[tuple[Cell, Names]]:
        """What the roles hold."""
        self._run("ROLLBACK TO SAVEPOINT cell; SET LOCAL ROLE none")
        return survey(self._cursor, self._cast.schema)

    # In one round trip -----------------------------------------------------------------------------------------------

    def _pipelined(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Each ends with a sync: its error ends only itself. In psycopg's own pipeline it would end all of them."""
        pgconn = self._connection.pgconn
        pgconn.nonblocking = 0
        pgconn.enter_pipeline_mode()
        for cell in cells:
            for statement in (*self._before(cell), *cell.statement.split("; ")):
                pgconn.send_query_params(statement.encode(), None)
            pgconn.pipeline_sync()
        outcomes = [self._outcome(cell, self._last()) for cell in cells]
        pgconn.exit_pipeline_mode()
        pgconn.nonblocking = 1
        return outcomes

    def _last(self) -> PGresult:
        """The result of a cell's last statement, or the error that ended it."""
        pgconn, last = self._connection.pgconn, None
        while True:
            result = pgconn.get_result()
            if result is None:
                if pgconn.status == ConnStatus.BAD:
                    raise psycopg.OperationalError(pgconn.get_error_message())
            elif result.status == ExecStatus.PIPELINE_SYNC:
                assert last is not None  # noqa: S101 - a cell has a statement
                return last
            elif result.status != ExecStatus.PIPELINE_ABORTED:
                last = result

    def _outcome(self, cell: Cell, result: PGresult) -> Outcome:
        if result.status == ExecStatus.FATAL_ERROR:
            return Refused((result.error_field(DiagnosticField.SQLSTATE) or b"").decode())
        if result.status != ExecStatus.TUPLES_OK:
            return _counted(result.command_tuples or 0, cell.aim)
        values = [value.decode() for value in (result.get_value(row, 0) for row in range(result.ntuples)) if value]
        if cell.look == "plan":
            return _counted(sum(int(json.loads(plan)[0]["Plan"]["Actual Rows"]) for plan in values), cell.aim)
        return self._count(values)

    # One by one: what cannot be pipelined, and what is heard ---------------------------------------------------------

    def _alone(self, cell: Cell) -> Outcome:
        heard: list[str] = []

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            heard.append(notice.message_primary or "")

        self._connection.add_notice_handler(hear)
        try:
            if cell.look == "notices":
                self._run("; ".join((*self._before(cell), cell.statement)))
                return self._count(heard)
            self._run("; ".join(self._before(cell)))
            return self._count(self._copied(cell))
        except psycopg.Error as error:
            if error.sqlstate is None:  # the connection, not the database's answer
                raise
            return Refused(error.sqlstate)
        finally:
            self._connection.remove_notice_handler(hear)

    def _copied(self, cell: Cell) -> list[str]:
        with self._cursor.copy(cell.statement) as copy:
            if cell.look == "copy in":
                return []
            return [bytes(line).decode().partition("\t")[0].strip() for line in copy]

    def _run(self, statement: str) -> None:
        self._cursor.execute(statement.encode(), prepare=False)

    def _before(self, cell: Cell) -> tuple[str, str]:
        settings = {} if cell.settings is None else {name: cell.settings.get(name, "") for name in PROOFS}
        role = {STRANGER: self._cast.schema, ADMINISTRATOR: "none"}.get(cell.role, cell.role)
        said = [f"set_config('{name}', {_literal(value)}, true)" for name, value in (settings | {"role": role}).items()]
        return "ROLLBACK TO SAVEPOINT cell", f"SELECT {', '.join(said)}"

    def _count(self, keys: Sequence[str]) -> Rows:
        whose = [self._whose.get(key, "rest") for key in keys]
        return Rows(own=whose.count("own"), other=whose.count("other"), rest=whose.count("rest"))


def _counted(count: int, aim: Aim) -> Rows:
    return Rows(own=count) if aim == "own" else Rows(other=count)


def _literal(value: str) -> str:
    """With standard_conforming_strings, as the stage has it, a backslash is a backslash."""
    return "'" + value.replace("'", "''") + "'"

"""The proof of isolation (DESIGN section 11): a matrix of who may reach what, asked of a database, cell by cell.

Role, table, operation and context come to rows, to nothing or to an error. ``rights.py`` says who may do what,
``contexts.py`` for whom a transaction can say that it acts, ``cells.py`` what is asked, ``probe.py`` asks.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from schema.isolation.cells import cells
from schema.isolation.expectation import Cell
from schema.isolation.outcome import Outcome, Rows, is_leak
from schema.isolation.planting import TABLES, Cast
from schema.isolation.probe import CannotAsk, Probe, leave_behind
from schema.isolation.rights import ROLES

__all__ = ["CannotAsk", "Cell", "Report", "Result", "verify"]


@dataclass(frozen=True, slots=True)
class Result:
    """A cell, and what came of it."""

    cell: Cell
    seen: Outcome

    @property
    def ok(self) -> bool:
        return self.seen == self.cell.expected

    @property
    def is_leak(self) -> bool:
        """More was reached than promised; otherwise what is not ``ok`` is too strict."""
        return not self.ok and is_leak(self.cell.expected, self.seen)


@dataclass(frozen=True, slots=True)
class Report:
    """What the database said, cell by cell."""

    cells: tuple[Result, ...]
    seconds: float

    @property
    def wrong(self) -> tuple[Result, ...]:
        """Leaks first."""
        return tuple(sorted((result for result in self.cells if not result.ok), key=lambda result: not result.is_leak))

    @property
    def leaks(self) -> tuple[Result, ...]:
        return tuple(result for result in self.cells if result.is_leak)

    @property
    def ok(self) -> bool:
        return bool(self.cells) and all(result.ok for result in self.cells)


def verify(
    connection: psycopg.Connection[Any],
    *,
    tables: Collection[str] | None = None,
    roles: Collection[str] | None = None,
    first_wrong: bool = False,
) -> Report:
    """Ask every cell of the matrix, as administrator, and leave the database as it was.

    ``connection`` may be in a transaction, whose changes then count; whatever this does is rolled back to where it
    began. ``tables`` (with or without their schema) and ``roles`` ask only what concerns them, ``first_wrong`` stops at
    the first cell that is wrong. Raises ``CannotAsk`` where the login cannot put the questions.
    """
    began = time.monotonic()
    cast = Cast()
    if connection.info.transaction_status == TransactionStatus.IDLE:
        leave_behind(connection, cast)
    probe = Probe(connection, cast)
    results: list[Result] = []
    with probe.prepared(connection):
        for cell in _chosen(cast, tables, roles):
            if cell.blind and _is_open(results, cell):
                continue
            results.append(Result(cell, probe.ask(cell)))
            if first_wrong and not results[-1].ok:
                break
    return Report(tuple(results), time.monotonic() - began)


def _chosen(cast: Cast, tables: Collection[str] | None, roles: Collection[str] | None) -> Iterator[Cell]:
    for role in ROLES:
        if roles is None or role.name in roles:
            for cell in cells(role, TABLES, cast):
                if tables is None or cell.table in tables or cell.table.partition(".")[2] in tables:
                    yield cell


def _is_open(results: list[Result], cell: Cell) -> bool:
    """Whether the role has been seen to reach a deployment's own rows of this table: then they are not touched."""
    return any(
        isinstance(result.seen, Rows)
        and isinstance(result.cell.expected, Rows)
        and result.seen.rest > result.cell.expected.rest
        for result in results
        if result.cell.role == cell.role and result.cell.table == cell.table
    )

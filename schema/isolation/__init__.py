"""The proof of isolation (DESIGN section 11): a matrix of who may reach what, asked of a database, cell by cell.

Role, table, operation and context come to rows, to nothing or to an error. ``rights.py`` says who may do what,
``contexts.py`` for whom a transaction can say that it acts, ``cells.py`` what is asked, ``probe.py`` asks.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from schema.isolation.attacks import attacks
from schema.isolation.cast import Cast
from schema.isolation.cells import cells
from schema.isolation.expectation import Cell
from schema.isolation.outcome import NOTHING, Outcome, Rows, is_leak
from schema.isolation.planting import TABLES
from schema.isolation.probe import Probe
from schema.isolation.rights import ROLES
from schema.isolation.stage import CannotAsk, leave_behind, staged

PLANTED = Cell(
    role="administrator",
    table="every table",
    operation="plant two organisations alike",
    context="none",
    settings={},
    statement="",
    expected=NOTHING,
    reason="no key of one organisation meets one of the other's",
)

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
    def reached_strangers(self) -> bool:
        """Rows that this run has not planted."""
        seen, expected = self.seen, self.cell.expected
        return isinstance(seen, Rows) and seen.rest > (expected.rest if isinstance(expected, Rows) else 0)

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
    began. On one that is not, two transactions go before that leave context over. ``tables`` (with or without their
    schema) and ``roles`` ask only what concerns them, ``first_wrong`` stops at the first cell that is wrong. Raises
    ``CannotAsk`` where the login cannot put the questions.
    """
    began = time.monotonic()
    cast = Cast()
    if connection.info.transaction_status == TransactionStatus.IDLE:
        leave_behind(connection, cast)
    results: list[Result] = []
    with staged(connection, cast) as planted:
        for result in _results(Probe(connection, cast), cast, planted, _Concerned(tables, roles)):
            results.append(result)
            if first_wrong and not result.ok:
                break
    return Report(tuple(results), time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Concerned:
    tables: Collection[str] | None
    roles: Collection[str] | None

    def __call__(self, cell: Cell) -> bool:
        of_table = self.tables is None or cell.table in self.tables or cell.table.partition(".")[2] in self.tables
        return of_table and (self.roles is None or cell.role in self.roles)


def _results(probe: Probe, cast: Cast, planted: Outcome, concerned: _Concerned) -> Iterator[Result]:
    yield Result(PLANTED, planted)
    if planted != PLANTED.expected:
        return  # nobody is on the stage
    yield from (Result(cell, seen) for cell, seen in probe.survey() if concerned(cell))
    every = chain.from_iterable((*(cells(role, TABLES, cast) for role in ROLES), attacks(cast)))
    asked = [cell for cell in every if concerned(cell)]
    open_: set[tuple[str, str]] = set()  # where a role reaches a deployment's own rows: they are not changed as well
    sighted = (cell for cell in asked if not cell.blind)
    blind = (cell for cell in asked if cell.blind and (cell.role, cell.table) not in open_)
    for cell, seen in chain(probe.ask(sighted), probe.ask(blind)):
        result = Result(cell, seen)
        if result.reached_strangers:
            open_.add((cell.role, cell.table))
        yield result

"""Makes a mutant, asks the matrix and the static checks about it, and takes it back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from schema import isolation, lints
from schema.isolation.outcome import UNANSWERED, Refused
from schema.lints.read import read
from tests.isolation.mutation import bodies, grants, objects, policies, roles, structure
from tests.isolation.mutation.mutant import Mutant


@dataclass(frozen=True, slots=True)
class Verdict:
    """``matrix`` is the first cell that came out wrong, ``checks`` are the codes of what the static checks found."""

    mutant: Mutant
    matrix: str | None
    checks: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return self.matrix is not None or bool(self.checks)


def enumerated(connection: psycopg.Connection[Any]) -> Iterator[Mutant]:
    """Every mutant of the database's own catalog: what a migration adds is mutated without anybody listing it."""
    catalog = read(connection)
    for part in (policies, grants, structure, objects, roles):
        yield from part.mutants(catalog)
    yield from bodies.mutants(connection)


def judge(connection: psycopg.Connection[Any], mutant: Mutant) -> Verdict:
    """What notices it. A mutant that cannot be made is an error of the enumeration, and raised."""
    with connection.transaction(force_rollback=True):
        for statement in mutant.statements:
            connection.execute(statement.encode())
        checks = tuple(sorted({finding.code for finding in lints.findings(connection) if finding.level == "error"}))
        matrix = _wrong_cell(connection, mutant.tables or None, mutant.roles or None)
        if matrix is None and not checks:
            matrix = _wrong_cell(connection, None, None)
        return Verdict(mutant, matrix, checks)


def _wrong_cell(
    connection: psycopg.Connection[Any], tables: tuple[str, ...] | None, roles: tuple[str, ...] | None
) -> str | None:
    """That the matrix cannot even plant its rows is a difference too: something it needs is broken. A server that is
    gone, or too slow to answer, is none that the mutant makes."""
    try:
        wrong = isolation.verify(connection, tables=tables, roles=roles, first_wrong=True).wrong
    except psycopg.OperationalError:
        raise
    except psycopg.DatabaseError as error:
        return f"the matrix cannot be prepared: {error.sqlstate}"
    if wrong and isinstance(wrong[0].seen, Refused) and wrong[0].seen.sqlstate in UNANSWERED:
        raise TooSlow(f"{wrong[0].cell.statement} was not answered in time: run it again when the machine is quieter")
    return f"{wrong[0].cell.role} {wrong[0].cell.operation} {wrong[0].cell.table}" if wrong else None


class TooSlow(Exception):
    """The matrix gave a question up."""


class NotClean(Exception):
    """Something is found wrong before anything was made wrong: then nothing that is noticed means anything."""


def untouched(connection: psycopg.Connection[Any]) -> None:
    """Raise ``NotClean`` unless matrix and checks are content with the database as the migrations leave it."""
    found = [finding.sentence for finding in lints.findings(connection) if finding.level == "error"]
    cell = _wrong_cell(connection, None, None)
    if found or cell:
        raise NotClean(f"before any mutant: {[*found, *filter(None, [cell])]}")

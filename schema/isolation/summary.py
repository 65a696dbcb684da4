"""A report by role and table, and by context: what a page or a terminal shows of it."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from schema import roles as logins
from schema.isolation import Report, Result
from schema.isolation.contexts import OWN
from schema.isolation.expectation import Cell
from schema.isolation.planting import TABLES
from schema.isolation.rights import ROLES, Role

VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Square:
    """One role on one table. ``reach``: own, every, or '' for no row at all. ``may``: its privileges in words."""

    role: str
    table: str
    reach: str
    may: str
    why: str
    cells: int
    wrong: int

    @property
    def mark(self) -> str:
        if self.wrong:
            return f"‼ {self.wrong}"
        if self.reach and not self.may.startswith("SELECT"):
            return "✓ add"
        return {"own": "✓ own", "every": "✓ all"}.get(self.reach, "✗")


@dataclass(frozen=True, slots=True)
class Tried:
    """One role in one context: what it is given there, why no more, and how often it was tried."""

    role: str
    context: str
    given: str
    why: str
    cells: int
    wrong: int


def squares(report: Report) -> tuple[Square, ...]:
    """Every role on every table, whether there is anything to show or not."""
    asked: Mapping[tuple[str, str], list[Result]] = defaultdict(list)
    for result in report.cells:
        asked[result.cell.role, result.cell.table].append(result)
    return tuple(_square(role, table.name, asked[role.name, table.name]) for role in ROLES for table in TABLES)


def _square(role: Role, table: str, results: list[Result]) -> Square:
    right = role.right(table) if role.name != logins.OWNER else None
    return Square(
        role=role.name,
        table=table,
        reach=role.reach(table).scope if right else "",
        may=", ".join(_granted(verb, right.columns[verb]) for verb in VERBS if verb in right.columns) if right else "",
        why=role.why,
        cells=len(results),
        wrong=sum(not result.ok for result in results),
    )


def _granted(verb: str, columns: tuple[str, ...]) -> str:
    return f"{verb} ({', '.join(columns)})" if columns else verb


def tried(report: Report) -> tuple[Tried, ...]:
    """Each role that has to prove for whom it acts, in each context, in the order in which they were asked."""
    proving = {role.name for role in ROLES if role.proof}
    asked: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in report.cells:
        if result.cell.role in proving and result.cell.context != "any":
            asked[result.cell.role, result.cell.context].append(result)
    return tuple(
        Tried(
            role=role,
            context=context,
            given=_given([result.cell for result in results]),
            why=Counter(result.cell.reason for result in results).most_common(1)[0][0] if context != OWN else "",
            cells=len(results),
            wrong=sum(not result.ok for result in results),
        )
        for (role, context), results in asked.items()
    )


def _given(cells: list[Cell]) -> str:
    """The widest that any of them is to come to."""
    expected = {str(cell.expected) for cell in cells}
    for whose, words in (("other", "the other's"), ("own", "its own")):
        if any(whose in outcome.split() for outcome in expected):
            both = whose == "other" and any("own" in outcome.split() for outcome in expected)
            return "every organisation's rows" if both else f"{words} rows"
    return "nothing" if "nothing" in expected else "an error"

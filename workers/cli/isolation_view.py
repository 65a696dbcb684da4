"""The matrix on a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schema.isolation import Report, Result
from schema.isolation.outcome import Names
from schema.isolation.planting import TABLES
from schema.isolation.rights import ROLES
from schema.isolation.summary import Square, squares
from schema.lints import Finding
from schema.lints.declared import (
    ACTIONS,
    ASKER,
    DEFINERS,
    ENQUEUER,
    ERASER,
    INTEGRATOR,
    PLANNER,
    RECEIVER,
    REFUSALS,
    REPORTER,
    REQUESTER,
    USER,
    VERIFIER,
)
from schema.roles import AUTHENTICATOR, CALL_HANDLER, DISPATCHER, OPERATOR, OWNER, WORKER

_SHORT = {
    USER: "user",
    AUTHENTICATOR: "api",
    WORKER: "worker",
    DISPATCHER: "dispatch",
    OPERATOR: "ops",
    CALL_HANDLER: "calls",
    ENQUEUER: "queue",
    ACTIONS: "retry",
    REQUESTER: "sweep",
    REPORTER: "alive",
    REFUSALS: "deny",
    INTEGRATOR: "seal",
    ASKER: "link",
    RECEIVER: "recv",
    ERASER: "erase",
    PLANNER: "keep",
    VERIFIER: "grant",
    OWNER: "owner",
    "stranger": "none",
}
GROUPS = {
    "logins, users, owner": [role.name for role in ROLES if role.name not in DEFINERS],
    "owners of functions": [role.name for role in ROLES if role.name in DEFINERS],
}
"""Roles, as they fit beside one another."""


def verdict(report: Report, findings: Sequence[Finding]) -> str:
    """One line: how many cells, how many leaks."""
    strict = len(report.wrong) - len(report.leaks)
    said = f"{len(report.cells):,} cells, {len(report.leaks)} leaks"
    said += f", {strict} too strict" if strict else ""
    said += f", {len(findings)} found by the static checks" if findings else ""
    return f"{said}, in {report.seconds:.1f} s"


def told(result: Result) -> str:
    """A wrong cell, exactly."""
    cell, expected, seen = result.cell, result.cell.expected, result.seen
    kind = "leak" if result.is_leak else "too strict"
    difference = f"expected {expected}, saw {seen}"
    if isinstance(expected, Names) and isinstance(seen, Names):
        more, less = Names(seen.names - expected.names), Names(expected.names - seen.names)
        said = (f"expected no {more}" if more.names else "", f"missed {less}" if less.names else "")
        difference = ", ".join(part for part in said if part)
    return f"{kind}: {cell.role} on {cell.table}, {cell.operation}, context {cell.context}: {difference}"


def next_step(report: Report) -> str:
    """What to do about the wrong cells."""
    where = sorted({result.cell.table for result in report.wrong})
    return (
        f"compare grants, policies, triggers and keys of {', '.join(where)} with schema/current.sql, put back what "
        "differs, and run this again"
    )


def view(report: Report, findings: Sequence[Finding]) -> RenderableType:
    every = squares(report)
    parts: list[RenderableType] = [
        *(_matrix(title, every, roles) for title, roles in GROUPS.items()),
        *_reasons(every),
        Text(),
        *_wrong(report, findings),
        Text(verdict(report, findings), "bold green" if report.ok and not findings else "bold red"),
    ]
    return Group(*parts)


def _matrix(title: str, every: Iterable[Square], roles: Sequence[str]) -> Table:
    table = Table(title, *(_SHORT.get(role, role) for role in roles), box=None, padding=(0, 1, 0, 0))
    by_place = {(square.role, square.table): square for square in every}
    for one in TABLES:
        marks = (by_place[role, one.name].mark for role in roles)
        table.add_row(one.name.removeprefix("public."), *(Text(mark, _style(mark)) for mark in marks))
    return table


def _style(mark: str) -> str:
    return {"✓": "green", "✗": "dim"}.get(mark[0], "bold red")


def _reasons(every: Iterable[Square]) -> list[Text]:
    """Why each ✗: a role's reason is one for all of its tables."""
    whys = dict.fromkeys((square.role, square.why) for square in every if not square.reach)
    return [Text(), *(Text.assemble(("✗ ", "dim"), f"{_SHORT.get(role, role)}: {why}") for role, why in whys)]


def _wrong(report: Report, findings: Sequence[Finding]) -> list[Text]:
    """Of each role on each table the first, leaks before others."""
    alike: dict[tuple[str, str], list[Result]] = {}
    for result in report.wrong:
        alike.setdefault((result.cell.role, result.cell.table), []).append(result)
    said = []
    for results in alike.values():
        more = f" (and {len(results) - 1} more: --json)" if len(results) > 1 else ""
        said.append(Text(f"‼ {told(results[0])}{more}", "red"))
    if report.wrong:
        said.append(Text(f"  next: {next_step(report)}"))
    said += [Text(f"‼ {one.object}: {one.sentence}\n  next: {one.remedy}", "red") for one in findings]
    return said

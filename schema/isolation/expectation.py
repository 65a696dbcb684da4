"""What is expected of a role on a table in a context. It follows from ``rights.py`` and ``contexts.py`` alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schema.isolation.cast import Cast, Organisation
from schema.isolation.contexts import OWN, Context
from schema.isolation.outcome import DENIED, MALFORMED, NOTHING, NULL, TAKEN, Outcome, Rows
from schema.isolation.planting import Row, Table
from schema.isolation.rights import Role

#: What is looked at: rows or their number, what a COPY brings, what a function in WHERE hears, what EXPLAIN tells.
Look = Literal["rows", "copy out", "copy in", "notices", "plan"]
Aim = Literal["own", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One question, and its answer. ``aim``: whose the rows are that a statement counts and does not show.

    ``settings``: None leaves what the transaction before has left. ``blind``: it touches whatever it may.
    """

    role: str
    table: str
    operation: str
    context: str
    settings: Mapping[str, str] | None
    statement: str
    expected: Outcome
    reason: str
    look: Look = "rows"
    aim: Aim = "own"
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """Of one role, on one table, in one context."""

    role: Role
    table: Table
    context: Context
    cast: Cast

    @property
    def scope(self) -> str:
        return self.role.reach(self.table.name).scope

    @property
    def by_parent(self) -> bool:
        return self.role.reach(self.table.name).by_parent

    @property
    def sees(self) -> Rows:
        """The planted rows that row-level security shows it, if it may look at all."""
        reach = self.role.reach(self.table.name)
        count = len(self.table.rows) if reach.sees is None else reach.sees
        if reach.scope == "every":
            return Rows(own=count, other=count, rest=len(self.cast.rest(self.table.name)) if reach.rest else 0)
        if reach.scope == "none":
            return NOTHING
        return {"own": Rows(own=count), "other": Rows(other=count)}.get(self.context.proves, NOTHING)

    @property
    def counted(self) -> Rows:
        """As ``sees``, by number: a statement that shows no row does not say whose it was."""
        return Rows(own=self.sees.own + self.sees.other + self.sees.rest)

    def may(self, privilege: str, *columns: str) -> bool:
        return self.role.right(self.table.name).may(privilege, *columns)

    def may_all(self, privilege: str) -> bool:
        """The whole table, not this column and that."""
        return self.role.right(self.table.name).columns.get(privilege) == ()

    def given(self, permitted: Outcome, *, may: bool) -> Outcome:
        """``permitted``, where the role has the privilege and the context is not an error by itself."""
        if permitted == DENIED or not may:
            return DENIED
        if self.scope == "own" and self.context.proves == "refused":
            return DENIED
        return MALFORMED if self.scope == "own" and self.context.proves == "malformed" else permitted

    def inserted(self, aim: Aim | Literal["null"]) -> Outcome:
        """What comes of a row for ``own``, for ``other`` or for no organisation."""
        if self.scope == "own" and self.context.proves == "malformed":
            permitted: Outcome = MALFORMED
        elif aim == "null" and self.by_parent and self.context.proves == "own":
            permitted = NULL
        elif self.scope == "none" or (self.scope == "own" and self.context.proves != aim):
            permitted = DENIED
        elif aim == "null":
            permitted = NULL
        elif self.table.once:
            permitted = TAKEN
        else:
            permitted = Rows(own=1) if aim == "own" else Rows(other=1)
        return self.given(permitted, may=self.may("INSERT", *self.row))

    @property
    def row(self) -> Row:
        """The row that this role inserts."""
        return self.role.reach(self.table.name).row or self.table.example

    def insert(self, org: Organisation, more: Mapping[str, str] | None = None) -> str:
        return org.insert(self.table.name, {**self.row, **(more or {})})

    @property
    def change(self) -> str:
        """A column that this role may change; the first, if there is none."""
        changes = self.table.changes
        return next((column for column in changes if self.may("UPDATE", column)), next(iter(changes)))

    @property
    def changed(self) -> str:
        return f"{self.change} = {self.table.changes[self.change]}"

    def why(self, expected: Outcome) -> str:
        """One line for what is not given; nothing for what is."""
        if isinstance(expected, Rows) and expected != NOTHING and self.context.name in {OWN, "none"}:
            return ""
        has_right = bool(self.role.right(self.table.name))
        return self.context.why if has_right and self.context.why else self.role.why

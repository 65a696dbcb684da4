"""The matrix: every role on every table, by every operation, in every context, and what each has to come to.

Nothing here asks a database.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schema.isolation.cast import Cast
from schema.isolation.contexts import OWN, contexts
from schema.isolation.expectation import Aim, Cell, Expectation, Look
from schema.isolation.outcome import DENIED, NO_SUCH_PARENT, NOTHING, TAKEN, UNSUPPORTED, Outcome, Rows
from schema.isolation.planting import Table
from schema.isolation.rights import Role

SECRETS: Mapping[str, tuple[str, ...]] = {
    "public.recording_upload_queue": ("source_url", "object_key"),
    "public.integrations": ("sealed_credentials",),
    "public.recording_downloads": ("url",),
    "public.call_logs": ("transcript", "from_number"),
    "app.unclaimed_calls": ("source_url", "from_number", "to_number"),
    "app.grant_keys": ("inner_pad", "outer_pad"),
}
_AT_MOST = 50  # rows: enough to see a leak by, in a database of any size
NOBODY = "00000000-0000-0000-0000-000000000001"
_STAYS = "a row stays with its organisation"
_ALIKE = "the key holds the organisation too, and tells no id that is another's from one that is not"
_MET = "a row of another organisation is met, and neither changed nor shown"


def cells(role: Role, tables: tuple[Table, ...], cast: Cast) -> Iterator[Cell]:
    """Of one role, on these tables: first as it ought to be, then in each other context."""
    for context in contexts(role.proof, cast):
        for table in tables:
            asked = _Asked(Expectation(role, table, context, cast))
            if context.name == OWN:
                yield from asked.everything()
            elif role.right(table.name) or not role.proof:
                yield from asked.shortly()


def listed(*keys: str) -> str:
    return ", ".join(f"'{key}'" for key in keys) or "NULL"


@dataclass(frozen=True, slots=True)
class _Asked:
    """The statements for one role on one table in one context."""

    is_: Expectation

    def everything(self) -> Iterator[Cell]:
        yield from self.shortly()
        yield from self._reads()
        if self._has_right:
            yield from self._looks()
            yield from self._inserts()
            yield from self._aimed("own", "its own")
            yield from self._aimed("other", "the other's")
            yield from self._moves()
            yield from self._hangs()
            yield from self._conflicts()

    def shortly(self) -> Iterator[Cell]:
        """The four verbs, each without a WHERE wherever what the role may reach bounds it."""
        whole = self.is_.context.name == OWN
        yield self._select("SELECT", self._key)
        if self.is_.may("INSERT", *self.is_.row) or whole:
            yield self._cell("INSERT", self.is_.insert(self.is_.cast.own), self.is_.inserted("own"))
            if self.is_.table.has_org and "org_id" in self.is_.row:
                nobodys = self.is_.insert(self.is_.cast.own, {"org_id": "NULL"})
                yield self._cell("INSERT for nobody", nobodys, self.is_.inserted("null"))
        if self._may_change or whole:
            update = f"UPDATE {self._name} SET {self.is_.changed}{self._bound()}"
            yield self._blind("UPDATE of everything", update, self._given(self.is_.counted, may=self._may_change))
        if self.is_.may("DELETE") or whole:
            expected = self._given(self.is_.counted, may=self.is_.may("DELETE"))
            yield self._blind("DELETE of everything", f"DELETE FROM {self._name}{self._bound()}", expected)

    # Reading ---------------------------------------------------------------------------------------------------------

    def _reads(self) -> Iterator[Cell]:
        may_all = self.is_.may_all("SELECT")
        yield self._cell("SELECT of all columns", self._rows("t.*"), self._given(self.is_.sees, may=may_all))
        others = f"SELECT {self._key} FROM {self._name} WHERE {self._key} IN ({self._keys('other')})"
        yield self._cell("SELECT of the other's by key", others, self._seen(Rows(other=self.is_.sees.other)))
        for secret in SECRETS.get(self._name, ()):
            yield self._select(f"SELECT of {secret}", secret)
        locked = self._given(self._seen(), may=self._may_change)
        yield self._cell("SELECT FOR UPDATE", f"{self._rows('1')} FOR UPDATE", locked)

    def _looks(self) -> Iterator[Cell]:
        """Ways to read that are not SELECT."""
        bound = self._bound()
        heard = f"{f'{bound} AND' if bound else ' WHERE'} {self.is_.cast.schema}.hear({self._key}::text)"
        yield self._cell("COPY TO", f"COPY ({self._rows('1')}) TO STDOUT", self._seen(), look="copy out")
        leaky = f"SELECT 1 FROM {self._name}{heard} LIMIT {_AT_MOST}"
        yield self._cell("a leaky function in WHERE", leaky, self._seen(), look="notices")
        if not bound:
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {self._rows('1')}"
            yield self._cell("EXPLAIN ANALYZE", explain, self._seen(), look="plan")
            copy = f"COPY {self._name} ({self._column}) TO STDOUT"
            yield self._cell("COPY TO of the table", copy, self._seen(), look="copy out")

    # Writing ---------------------------------------------------------------------------------------------------------

    def _inserts(self) -> Iterator[Cell]:
        is_, cast = self.is_, self.is_.cast
        yield self._cell("INSERT for the other", is_.insert(cast.other), is_.inserted("other"), aim="other")
        # A new key is nobody's that we know: the row is returned as one of ours.
        own = listed(cast.own.keys(is_.table)[0])
        returning = f"WITH made AS ({is_.insert(cast.own)} RETURNING {self._key}) SELECT {own} FROM made"
        expected = self._given(is_.inserted("own"), may=is_.may("SELECT", self._column))
        yield self._cell("INSERT RETURNING", returning, expected)
        copy = f"COPY {self._name} ({', '.join(is_.row)}) FROM STDIN"
        expected = UNSUPPORTED if is_.may("INSERT", *is_.row) else DENIED
        yield self._cell("COPY FROM", copy, expected, look="copy in")
        update = f"UPDATE {self._name} SET {is_.changed}{self._bound()} RETURNING {self._key}"
        yield self._blind("UPDATE RETURNING", update, self._given(self._seen(), may=self._may_change))

    def _aimed(self, aim: Aim, whose: str) -> Iterator[Cell]:
        keys, sees = self._keys(aim), self.is_.sees
        rows = self._seen(Rows(own=sees.own) if aim == "own" else Rows(other=sees.other))
        changed = self._given(rows, may=self._may_change)
        update = f"UPDATE {self._name} SET {self.is_.changed} WHERE {self._key} IN ({keys})"
        yield self._cell(f"UPDATE of {whose} by key", update, changed, aim=aim)
        merge = (
            f"MERGE INTO {self._name} AS t USING (VALUES (1)) AS v (x) ON t.{self._key} IN ({keys}) "
            f"WHEN MATCHED THEN UPDATE SET {self.is_.changed}"
        )
        yield self._cell(f"MERGE into {whose}", merge, changed, aim=aim)
        delete = f"DELETE FROM {self._name} WHERE {self._key} IN ({keys})"
        yield self._cell(f"DELETE of {whose} by key", delete, self._given(rows, may=self.is_.may("DELETE")), aim=aim)

    def _moves(self) -> Iterator[Cell]:
        """A row to the other organisation, straight, and by way of NULL."""
        hidden = self.is_.scope == "none" and self.is_.may("UPDATE", "org_id")
        held = NOTHING if hidden else DENIED
        if self.is_.table.has_org:
            for how, target in (("to the other", listed(self.is_.cast.other.ids["org"])), ("by way of NULL", "NULL")):
                move = f"UPDATE {self._name} SET org_id = {target} WHERE {self._key} IN ({self._keys('own')})"
                yield self._cell(f"move {how}", move, held, _STAYS)

    def _hangs(self) -> Iterator[Cell]:
        """A row under another organisation's, or under one that does not exist: the two must look alike."""
        hidden = self.is_.scope == "none"
        for column, parent in self.is_.table.parents.items():
            for whose, there in (("the other's", self.is_.cast.other.ids[parent]), ("nobody's", NOBODY)):
                hang = f"UPDATE {self._name} SET {column} = '{there}' WHERE {self._key} IN ({self._keys('own')})"
                expected = self._given(self._seen(NO_SUCH_PARENT), may=self.is_.may("UPDATE", column))
                yield self._cell(f"UPDATE of {column} to {whose}", hang, NOTHING if hidden else expected, _ALIKE)
                if not self.is_.table.once:
                    row = {column: f"'{there}'"}
                    expected = self._given(NO_SUCH_PARENT, may=self.is_.may("INSERT", *self.is_.row, column))
                    insert = self.is_.insert(self.is_.cast.own, row)
                    refused = DENIED if hidden or self.is_.by_parent else expected
                    yield self._cell(f"INSERT under {whose} {column}", insert, refused, _ALIKE)

    def _conflicts(self) -> Iterator[Cell]:
        """The other's key once more, for whoever may choose keys."""
        if self.is_.table.is_numbered or self._key != "id" or not self.is_.may("INSERT", "id"):
            return
        insert = self.is_.insert(self.is_.cast.own, {"id": listed(self.is_.cast.other.keys(self.is_.table)[0])})
        for name, end, expected in (
            ("INSERT of a key that the other has", "", TAKEN),
            ("ON CONFLICT DO NOTHING", " ON CONFLICT (id) DO NOTHING", NOTHING),
            ("ON CONFLICT DO UPDATE", f" ON CONFLICT (id) DO UPDATE SET {self.is_.changed}", DENIED),
        ):
            yield self._cell(name, insert + end, DENIED if self.is_.scope == "none" else expected, _MET)

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.is_.table.name

    @property
    def _key(self) -> str:
        return self.is_.table.key

    @property
    def _column(self) -> str:
        return self._key.partition("::")[0]

    @property
    def _has_right(self) -> bool:
        return bool(self.is_.role.right(self._name))

    @property
    def _may_change(self) -> bool:
        return self.is_.may("UPDATE", self.is_.change)

    def _keys(self, aim: Aim) -> str:
        return listed(*(self.is_.cast.own if aim == "own" else self.is_.cast.other).keys(self.is_.table))

    def _bound(self) -> str:
        """Who may reach every organisation is asked for the planted rows: a deployment's own are left alone."""
        if self.is_.scope != "every":
            return ""
        table, cast = self.is_.table, self.is_.cast
        return (
            f" WHERE {self._key} IN ({listed(*cast.own.keys(table), *cast.other.keys(table), *cast.rest(table.name))})"
        )

    def _rows(self, columns: str) -> str:
        return f"SELECT {self._key}, {columns} FROM {self._name} AS t{self._bound()} LIMIT {_AT_MOST}"

    def _given(self, permitted: Outcome, *, may: bool) -> Outcome:
        return self.is_.given(permitted, may=may)

    def _seen(self, permitted: Outcome | None = None) -> Outcome:
        """``permitted``, or the rows that are seen, for a role that may read the key."""
        return self._given(self.is_.sees if permitted is None else permitted, may=self.is_.may("SELECT", self._column))

    def _select(self, operation: str, column: str) -> Cell:
        may = self.is_.may("SELECT", self._column, column.partition("::")[0])
        return self._cell(operation, self._rows(column), self._given(self.is_.sees, may=may))

    def _blind(self, operation: str, statement: str, expected: Outcome) -> Cell:
        return self._cell(operation, statement, expected, blind=not self._bound())

    def _cell(
        self,
        operation: str,
        statement: str,
        expected: Outcome,
        reason: str = "",
        *,
        look: Look = "rows",
        aim: Aim = "own",
        blind: bool = False,
    ) -> Cell:
        return Cell(
            role=self.is_.role.name,
            table=self._name,
            operation=operation,
            context=self.is_.context.name,
            settings=self.is_.context.settings,
            statement=statement,
            expected=expected,
            reason=reason or self.is_.why(expected),
            look=look,
            aim=aim,
            blind=blind,
        )

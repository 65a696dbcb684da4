"""Triggers, keys and columns: what keeps a row where it belongs, whoever writes it."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Index, Key, Table, Trigger
from tests.isolation.mutation.mutant import Mutant


def mutants(catalog: Catalog) -> Iterator[Mutant]:
    last = {table.name: table.columns[-1] for table in catalog.tables}
    for trigger in catalog.triggers:
        if not trigger.internal:
            yield from _trigger(trigger, last[trigger.table])
    for name in sorted({key.table for key in catalog.keys}):
        off = f"ALTER TABLE {name} DISABLE TRIGGER ALL"
        yield Mutant("trigger", f"{name}: no trigger fires, keys are not checked", (off,), (name,))
    for key in catalog.keys:
        yield from _key(key)
    for table in catalog.tables:
        yield from _columns(table, catalog.indexes)
    for index in catalog.indexes:
        if index.unique and not index.primary and index.columns[0] == "org_id" and len(index.columns) > 1:
            referring = tuple(key.table for key in catalog.keys if key.target == index.table)
            yield _unique(index, referring)


def _trigger(trigger: Trigger, another: str) -> Iterator[Mutant]:
    """With <> for IS DISTINCT FROM the trigger would do the same on a column that is never null: not made."""
    label, where = f"{trigger.table}.{trigger.name}", (trigger.table,)
    drop = f"DROP TRIGGER {trigger.name} ON {trigger.table}"
    yield Mutant("trigger", f"{label}: dropped", (drop,), where)
    for how in ("DISABLE TRIGGER", "ENABLE REPLICA TRIGGER"):
        statement = f"ALTER TABLE {trigger.table} {how} {trigger.name}"
        yield Mutant("trigger", f"{label}: {how.removesuffix(' TRIGGER')}", (statement,), where)
    if " DELETE OR UPDATE " in trigger.definition:
        for event in ("DELETE", "UPDATE"):
            narrower = trigger.definition.replace("DELETE OR UPDATE", event)
            yield Mutant("trigger", f"{label}: for {event} only", (drop, narrower), where)
    elif " BEFORE UPDATE ON " in trigger.definition:
        narrower = trigger.definition.replace("BEFORE UPDATE ON", f"BEFORE UPDATE OF {another} ON")
        yield Mutant("trigger", f"{label}: for {another} only", (drop, narrower), where)


def _key(key: Key) -> Iterator[Mutant]:
    label, where = f"{key.table}.{key.name}", (key.table,)
    drop = f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}"
    yield Mutant("key", f"{label}: dropped", (drop,), where)
    if len(key.columns) > 1:
        plain = key.definition.replace("(org_id, ", "(")
        yield Mutant("key", f"{label}: without org_id", (f"{drop}, ADD CONSTRAINT {key.name} {plain}",), where)


def _columns(table: Table, indexes: tuple[Index, ...]) -> Iterator[Mutant]:
    """A column of the primary key is never null, whatever is said of it."""
    primary = {column for index in indexes if index.table == table.name and index.primary for column in index.columns}
    if "org_id" in set(table.required) - primary:
        statement = f"ALTER TABLE {table.name} ALTER COLUMN org_id DROP NOT NULL"
        yield Mutant("column", f"{table.name}.org_id: may be null", (statement,), (table.name,))


def _unique(index: Index, referring: tuple[str, ...]) -> Mutant:
    """A key that others refer to is dropped with what refers to it, for without org_id it is the primary key again; any
    other becomes one of all organisations together. Uniqueness within one organisation lets nobody see more: that it is
    there is for the tests of enqueueing."""
    drop = (
        f"ALTER TABLE {index.table} DROP CONSTRAINT {index.constraint} CASCADE"
        if index.constraint
        else f"DROP INDEX {index.name}"
    )
    if list(index.columns) == ["org_id", "id"]:
        return Mutant("unique", f"{index.name}: dropped with its foreign keys", (drop,), referring)
    add = index.definition.replace("(org_id, ", "(")
    return Mutant("unique", f"{index.name}: of all organisations together", (drop, add), (index.table,))

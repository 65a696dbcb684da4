"""Keys do not cross organisations, and what is compared at every look is indexed."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Index, Key, Table
from schema.lints.declared import REFERENCES, UNREFERENCED
from schema.lints.finding import Finding

ORG = "org_id"


def check(catalog: Catalog) -> Iterator[Finding]:
    """Foreign keys, unique keys and the indexes that policies need."""
    owned = {table.name: table for table in catalog.tables if ORG in table.columns and table.kind in "rp"}
    for key in catalog.keys:
        if key.table in owned:
            yield from _key(key, crosses=key.target in owned, indexes=catalog.indexes)
    for table in owned.values():
        yield from _references(table, catalog.keys)
        if not any(
            index.table == table.name and index.columns[0] == ORG for index in catalog.indexes if not index.partial
        ):
            yield Finding(
                "policy_column_unindexed",
                table.name,
                f"No index of {table.name} begins with {ORG}: every look of one organisation reads all of them.",
                f"CREATE INDEX ON {table.name} ({ORG})",
            )
    for index in catalog.indexes:
        if index.table in owned and index.unique:
            yield from _unique(index)


def _key(key: Key, *, crosses: bool, indexes: tuple[Index, ...]) -> Iterator[Finding]:
    pairs = list(zip(key.columns, key.target_columns, strict=True))
    if crosses and (ORG, ORG) not in pairs:
        yield Finding(
            "key_crosses_organizations",
            key.table,
            f"Foreign key {key.name} of {key.table} does not compare {ORG}: it accepts another organisation's row, "
            "for PostgreSQL checks it past row-level security.",
            f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}, "
            f"ADD FOREIGN KEY ({ORG}, {', '.join(key.columns)}) REFERENCES {key.target} ({ORG}, …)",
        )
    if not key.validated:
        sentence = (
            f"Foreign key {key.name} of {key.table} was never checked against the rows that were there before it."
        )
        yield Finding("key_unvalidated", key.table, sentence, f"ALTER TABLE {key.table} VALIDATE CONSTRAINT {key.name}")
    if crosses and not any(index.table == key.table and _finds(index, key) for index in indexes):
        yield Finding(
            "key_unindexed",
            key.table,
            f"No index of {key.table} begins with ({', '.join(key.columns)}), the columns of {key.name}.",
            f"CREATE INDEX ON {key.table} ({', '.join(key.columns)})",
        )


def _finds(index: Index, key: Key) -> bool:
    """By all columns of the key first, or by some of them that leave one row."""
    wanted = set(key.columns)
    return set(index.columns[: len(wanted)]) == wanted or (index.unique and set(index.columns) <= wanted)


def _references(table: Table, keys: tuple[Key, ...]) -> Iterator[Finding]:
    """Any key of the column will do here; whether it is composite is ``_key``'s question."""
    held = {(column, key.target) for key in keys if key.table == table.name for column in key.columns}
    for column, target in REFERENCES.items():
        if column in table.columns and (table.name, column) not in UNREFERENCED and (column, target) not in held:
            columns = f"{ORG}, {column}" if column != ORG else ORG
            yield Finding(
                "key_missing",
                table.name,
                f"{column} of {table.name} refers to {target} by its name only: any value goes.",
                f"ALTER TABLE {table.name} ADD FOREIGN KEY ({columns}) REFERENCES {target}",
            )


def _unique(index: Index) -> Iterator[Finding]:
    """A global key tells one organisation, by its refusal, what another has. A primary key is random or the database's
    own to fill."""
    if ORG not in index.columns and not index.primary:
        yield Finding(
            "unique_across_organizations",
            index.table,
            f"Unique key {index.name} does not begin with {ORG}: a refusal tells what another organisation has.",
            f"replace it by one on ({ORG}, {', '.join(index.columns)})",
        )

"""Who is on the stage: two organisations, made anew for each run, and what belongs to neither."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

from schema.grant_keys import pads
from schema.isolation.planting import TABLES, Row, Table

_UUIDS = (
    *("org", "user", "colleague", "agent", "lead", "knowledge", "config", "integration", "call", "spare_call"),
    *("pending", "processing", "completed", "failed", "failure", "recovered", "download", "colleagues"),
    *("export", "colleagues_export", "rendition", "erased_call", "erasure"),
    "unclaimed",
)
_NUMBERS = ("metric", "finding", "entry", "announced", "by_another", "stale")


@dataclass(frozen=True, slots=True)
class Organisation:
    """The ids of everything that is planted for it, chosen before anything is asked of the database."""

    ids: Mapping[str, str]
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        secret = secrets.token_bytes(32)
        inner, outer = pads(secret)
        tag = secrets.token_hex(6)
        ids = {name: str(uuid4()) for name in _UUIDS}
        # Below zero: no sequence is used up, and no row of a deployment is met.
        ids |= {name: str(-secrets.randbits(62) - 1) for name in _NUMBERS}
        ids |= {"worker": f"isolation-{tag}", "kid": f"isolation-{tag}"}
        ids |= {"inner_pad": f"\\x{inner.hex()}", "outer_pad": f"\\x{outer.hex()}"}
        ids["hour"] = (
            f"{1000 + secrets.randbelow(900)}-01-01 {secrets.randbelow(24):02}:{secrets.randbelow(60):02}:00+00"
        )
        return cls(ids, secret)

    def fill(self, sql: str) -> str:
        return sql.format_map(self.ids)

    def insert(self, table: str, row: Row) -> str:
        values = self.fill(", ".join(row.values()))
        return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"

    def keys(self, table: Table) -> tuple[str, ...]:
        """Of the rows that are planted, as the database shows them."""
        column = table.key.partition(":")[0]
        return tuple(self.fill(row[column]).strip("'") for row in table.rows)


@dataclass(frozen=True, slots=True)
class Cast:
    """Whose rows are planted: an organisation, another, and what belongs to neither."""

    own: Organisation = field(default_factory=Organisation.new)
    other: Organisation = field(default_factory=Organisation.new)
    suspended: str = field(default_factory=lambda: str(uuid4()))
    unowned: str = field(default_factory=lambda: str(-secrets.randbits(62) - 1))
    retired: Organisation = field(default_factory=Organisation.new)
    schema: str = field(default_factory=lambda: f"isolation_{secrets.token_hex(6)}")

    def fill(self, sql: str) -> str:
        """Ids by name, as ``{own_call}`` and ``{other_call}``."""
        own = {f"own_{name}": value for name, value in self.own.ids.items()}
        other = {f"other_{name}": value for name, value in self.other.ids.items()}
        return sql.format_map(own | other | {"suspended": self.suspended})

    def sql(self) -> str:
        """Everything, in one go."""
        rows = [org.insert(table.name, row) for table in TABLES for row in table.rows for org in (self.own, self.other)]
        key = next(table for table in TABLES if table.name == "app.grant_keys")
        rows += [
            f"INSERT INTO public.organizations (id, name, status) VALUES ('{self.suspended}', 'Shut', 'suspended')",
            (
                "INSERT INTO public.audit_log (id, org_id, actor, action) "
                f"VALUES ({self.unowned}, NULL, 'isolation', 'planted')"
            ),
            self.retired.insert(key.name, {**key.rows[0], "expires_at": "now() - interval '1 second'"}),
        ]
        return ";\n".join(rows).replace(") VALUES (", ") OVERRIDING SYSTEM VALUE VALUES (")

    def rest(self, table: str) -> tuple[str, ...]:
        """Keys of planted rows that belong to neither."""
        return {
            "public.organizations": (self.suspended,),
            "public.audit_log": (self.unowned,),
            "app.grant_keys": (self.retired.ids["kid"],),
        }.get(table, ())

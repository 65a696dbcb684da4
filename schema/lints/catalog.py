"""What PostgreSQL's catalog says about schemas ``public`` and ``app``, as plain records; ``read.py`` fills them.

Names are qualified and quoted as SQL takes them. What an extension brought is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view, materialized view or foreign table (``kind`` as in pg_class)."""

    name: str
    kind: str
    owner: str
    secured: bool
    forced: bool
    as_invoker: bool
    columns: Sequence[str]
    required: Sequence[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. Expressions stand as the server deparses them with an empty search_path, on one line."""

    table: str
    name: str
    permissive: bool
    command: str
    roles: Sequence[str]
    using: str | None
    check: str | None


@dataclass(frozen=True, slots=True)
class Function:
    """A function; ``signature`` is what ALTER and DROP take."""

    name: str
    signature: str
    owner: str
    as_definer: bool
    settings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of one role, not its owner, on one object or column. ``kind`` is what GRANT takes after ON."""

    kind: str
    object: str
    column: str | None
    role: str
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    superuser: bool
    bypasses: bool
    creates_roles: bool
    creates_databases: bool
    replicates: bool
    inherits: bool
    logs_in: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """``member`` may become ``role``; with ``inherits`` it has the role's privileges without becoming it."""

    role: str
    member: str
    inherits: bool
    administers: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """A standing setting of a role, of this database, or of both."""

    role: str | None
    database: str | None
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Index:
    table: str
    name: str
    columns: Sequence[str]
    unique: bool
    primary: bool
    partial: bool
    constraint: str | None
    definition: str


@dataclass(frozen=True, slots=True)
class Key:
    """A foreign key; ``definition`` is what ADD CONSTRAINT takes."""

    table: str
    name: str
    columns: Sequence[str]
    target: str
    target_columns: Sequence[str]
    validated: bool
    definition: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger. Internal ones check foreign keys."""

    table: str
    name: str
    function: str
    enabled: str
    internal: bool
    definition: str


@dataclass(frozen=True, slots=True)
class Default:
    """A privilege that ``creator``'s next objects will have."""

    creator: str
    schema: str | None
    kind: str
    role: str
    privilege: str


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    schema: str


@dataclass(frozen=True, slots=True)
class Server:
    """``version`` as server_version_num."""

    version: int
    database: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """One look at a database."""

    server: Server
    tables: tuple[Table, ...]
    sequences: tuple[str, ...]
    policies: tuple[Policy, ...]
    functions: tuple[Function, ...]
    grants: tuple[Grant, ...]
    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    settings: tuple[Setting, ...]
    indexes: tuple[Index, ...]
    keys: tuple[Key, ...]
    triggers: tuple[Trigger, ...]
    defaults: tuple[Default, ...]
    extensions: tuple[Extension, ...]

"""What each role holds, as the server itself answers: grants on tables and columns, functions, schemas, other roles.

One question for each kind of thing. A privilege is a leak before there is a row that it shows.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import psycopg

from schema import roles as logins
from schema.isolation.expectation import Cell
from schema.isolation.functions import CALLS, callers
from schema.isolation.outcome import Names
from schema.isolation.planting import TABLES
from schema.isolation.rights import ROLES
from schema.lints import grants

_ON_TABLES = """
WITH roles AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY(%(roles)s)),
tables AS (SELECT c.oid, nspname || '.' || relname AS name FROM pg_class AS c
           JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname || '.' || relname = ANY(%(tables)s)),
whole AS (SELECT r.oid AS role, r.rolname, t.oid, t.name, p, has_table_privilege(r.oid, t.oid, p) AS held
          FROM roles AS r CROSS JOIN tables AS t CROSS JOIN unnest(%(privileges)s::text[]) AS p)
SELECT rolname, name, p FROM whole WHERE held
UNION ALL
SELECT rolname, name, p || '(' || attname || ')' FROM whole JOIN pg_attribute ON attrelid = whole.oid
WHERE NOT held AND attnum > 0 AND NOT attisdropped AND p = ANY('{SELECT,INSERT,UPDATE,REFERENCES}')
  AND has_column_privilege(role, whole.oid, attnum, p)
"""
_ON_FUNCTIONS = """
SELECT r.rolname, f.name, 'EXECUTE' FROM pg_roles AS r CROSS JOIN (
    SELECT p.oid, nspname || '.' || proname AS name FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE nspname || '.' || proname = ANY(%(functions)s)) AS f
WHERE r.rolname = ANY(%(roles)s) AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
"""
_ON_SCHEMAS = """
SELECT r.rolname, n.nspname, p
FROM pg_roles AS r CROSS JOIN pg_namespace AS n CROSS JOIN unnest('{USAGE,CREATE}'::text[]) AS p
WHERE r.rolname = ANY(%(roles)s) AND n.nspname IN ('public', 'app') AND has_schema_privilege(r.oid, n.oid, p)
"""
_ON_SEQUENCES = """
SELECT r.rolname, nspname || '.' || relname, p FROM pg_roles AS r CROSS JOIN pg_class AS c
JOIN pg_namespace AS n ON n.oid = relnamespace CROSS JOIN unnest('{USAGE,SELECT,UPDATE}'::text[]) AS p
WHERE r.rolname = ANY(%(roles)s) AND nspname || '.' || relname = ANY(%(sequences)s)
  AND has_sequence_privilege(r.oid, CASE WHEN relkind = 'S' THEN c.oid END, p)
"""
# Inherited, or to be passed on, is more than to be taken on. On Supabase the API's login may become service_role too,
# which is the administrator's.
_OF_ROLES = """
SELECT m.rolname, 'roles', r.rolname || more FROM pg_roles AS m CROSS JOIN pg_roles AS r CROSS JOIN (VALUES
    ('MEMBER', ''), ('USAGE', ' inherited'), ('MEMBER WITH ADMIN OPTION', ' with admin')) AS how (membership, more)
WHERE m.rolname = ANY(%(roles)s) AND m.oid <> r.oid AND r.rolname <> 'service_role'
  AND pg_has_role(m.oid, r.oid, membership)
UNION ALL
SELECT rolname, 'roles', attribute FROM pg_roles CROSS JOIN LATERAL (VALUES
    ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls), ('CREATEROLE', rolcreaterole), ('REPLICATION', rolreplication)
    ) AS a (attribute, held) WHERE rolname = ANY(%(roles)s) AND held
"""
# Ours are those that our roles own. The administrator's are its own business, unless they show our rows.
_UNKNOWN = """
SELECT 'administrator', 'tables', nspname || '.' || relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND relname <> 'alembic_version' AND (
    relowner IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%(roles)s)) OR relkind IN ('v', 'm') AND EXISTS (
        SELECT FROM pg_rewrite AS w JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        JOIN pg_class AS t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid AND t.relkind = 'r'
        WHERE w.ev_class = pg_class.oid AND t.relowner = (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)))
UNION ALL
SELECT 'administrator', 'functions', nspname || '.' || proname
FROM pg_proc JOIN pg_namespace AS n ON n.oid = pronamespace
WHERE proowner IN (SELECT oid FROM pg_roles WHERE rolname = ANY(%(roles)s))
"""
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_MAINTAIN_SINCE = 170_000
_SEQUENCES = [f"{table.name}_id_seq" for table in TABLES if table.is_numbered]
_MORE = "no grant is held but those that are needed"


def survey(cursor: psycopg.Cursor[Any], stranger: str) -> Iterator[tuple[Cell, Names]]:
    """Each thing that a role could hold, and what it does hold. ``stranger``: the name of the role without grants."""
    version = cursor.connection.info.server_version
    names = {role.name if role.name != "stranger" else stranger: role.name for role in ROLES}
    parameters = {
        "roles": list(names),
        "owner": logins.OWNER,
        "tables": [table.name for table in TABLES],
        "sequences": _SEQUENCES,
        "functions": list(CALLS),
        "privileges": [*_PRIVILEGES, *(["MAINTAIN"] if version >= _MAINTAIN_SINCE else [])],
    }
    held: dict[tuple[str, str], set[str]] = defaultdict(set)
    for query in (_ON_TABLES, _ON_SEQUENCES, _ON_FUNCTIONS, _ON_SCHEMAS, _OF_ROLES, _UNKNOWN):
        for role, thing, name in cursor.execute(query, parameters):
            held[names.get(role, role), thing].add(name)
    for role, thing, operation, expected, why in _expected():
        yield _cell(role, thing, operation, expected, why), Names(frozenset(held[role, thing]))


def _expected() -> Iterator[tuple[str, str, str, Collection[str], str]]:
    for role in ROLES:
        if (
            role.name != logins.OWNER
        ):  # whoever owns a table holds everything on it: row-level security is forced instead
            for table in TABLES:
                yield role.name, table.name, "grants", role.right(table.name).names(), role.why
            for sequence in _SEQUENCES:
                yield role.name, sequence, "grants", [], "the sequence counts the rows of every organisation"
            app = ["USAGE"] if role.name in grants.SCHEMAS["app"] else []
            yield role.name, "app", "grants", app, _MORE
        public = ["USAGE", "CREATE"] if role.name == logins.OWNER else ["USAGE"]
        yield role.name, "public", "grants", public, "nobody but the owner of the tables makes any"
        for function in CALLS:
            may = ["EXECUTE"] if role.name in callers(function) else []
            yield role.name, function, "grants", may, role.why
        yield role.name, "roles", "become", role.becomes, "a role that may become another is as good as that one"
    why = "what the matrix does not know it says nothing of: name it in schema/isolation and schema/lints"
    yield "administrator", "tables", "all that show our rows", [table.name for table in TABLES], why
    yield "administrator", "functions", "all of ours", list(CALLS), why


def _cell(role: str, thing: str, operation: str, expected: Collection[str], why: str) -> Cell:
    return Cell(
        role=role,
        table=thing,
        operation=operation,
        context="any",
        settings={},
        statement="",
        expected=Names(frozenset(expected)),
        reason=why,
    )

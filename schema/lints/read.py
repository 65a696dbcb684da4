"""Fills the records of ``catalog.py``: one query a kind, of catalogs that every login may read."""

from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from schema.lints import catalog

Row = TypeVar("Row")

# With this path every name of ours is deparsed with its schema. Both settings end with the savepoint.
_ALONE = """
SELECT set_config('search_path', 'pg_catalog, pg_temp', true), set_config('transaction_read_only', 'on', true)
"""

_OURS = "('public'::regnamespace, 'app'::regnamespace)"

_SERVER = "SELECT current_setting('server_version_num')::int AS version, current_database()::text AS database"

_TABLES = f"""
SELECT c.oid::regclass::text AS name, c.relkind::text AS kind, c.relowner::regrole::text AS owner,
       c.relrowsecurity AS secured, c.relforcerowsecurity AS forced,
       coalesce('security_invoker=true' = ANY(c.reloptions) OR 'security_invoker=on' = ANY(c.reloptions), false)
           AS as_invoker,
       array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       coalesce(array_agg(a.attname::text) FILTER (WHERE a.attnotnull), '{{}}') AS required
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace IN {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND NOT EXISTS (SELECT FROM pg_depend AS e
                  WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
GROUP BY c.oid ORDER BY 1
"""

_SEQUENCES = f"""
SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace IN {_OURS} AND c.relkind = 'S' ORDER BY 1
"""

_POLICIES = f"""
SELECT c.oid::regclass::text AS table, p.polname::text AS name, p.polpermissive AS permissive,
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                     ELSE 'ALL' END AS command,
       ARRAY(SELECT coalesce(r.rolname, 'PUBLIC')::text
             FROM unnest(p.polroles) AS m LEFT JOIN pg_roles AS r ON r.oid = m ORDER BY 1) AS roles,
       regexp_replace(pg_get_expr(p.polqual, p.polrelid), '\\s+', ' ', 'g') AS using,
       regexp_replace(pg_get_expr(p.polwithcheck, p.polrelid), '\\s+', ' ', 'g') AS check
FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
WHERE c.relnamespace IN {_OURS} ORDER BY 1, 2
"""

_FUNCTIONS = f"""
SELECT split_part(p.oid::regprocedure::text, '(', 1) AS name, p.oid::regprocedure::text AS signature,
       p.proowner::regrole::text AS owner, p.prosecdef AS as_definer, coalesce(p.proconfig, '{{}}') AS settings
FROM pg_proc AS p
WHERE p.pronamespace IN {_OURS} AND p.prokind IN ('f', 'p', 'w')
  AND NOT EXISTS (SELECT FROM pg_depend AS e
                  WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
ORDER BY 2
"""

# An object without a list of its own has its kind's default, which for functions is EXECUTE for PUBLIC.
_GRANTS = f"""
SELECT o.kind, o.object, o.column, coalesce(r.rolname, 'PUBLIC')::text AS role, g.privilege_type AS privilege,
       g.is_grantable AS grantable
FROM (
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS object,
           NULL::text AS column, c.relowner AS owner,
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
    FROM pg_class AS c WHERE c.relnamespace IN {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'TABLE', c.oid::regclass::text, a.attname::text, c.relowner, a.attacl
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace IN {_OURS} AND a.attnum > 0 AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'SCHEMA', n.nspname::text, NULL, n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace AS n WHERE n.oid IN {_OURS}
    UNION ALL
    SELECT 'FUNCTION', p.oid::regprocedure::text, NULL, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p
    WHERE p.pronamespace IN {_OURS} AND p.prokind <> 'a' AND NOT EXISTS (
        SELECT FROM pg_depend AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
    UNION ALL
    SELECT 'DATABASE', d.datname::text, NULL, d.datdba, coalesce(d.datacl, acldefault('d', d.datdba))
    FROM pg_database AS d WHERE d.datname = current_database()
) AS o, aclexplode(o.acl) AS g LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee <> o.owner ORDER BY 1, 2, 3 NULLS FIRST, 4, 5
"""

_ROLES = """
SELECT rolname::text AS name, rolsuper AS superuser, rolbypassrls AS bypasses, rolcreaterole AS creates_roles,
       rolcreatedb AS creates_databases, rolreplication AS replicates, rolinherit AS inherits, rolcanlogin AS logs_in
FROM pg_roles ORDER BY 1
"""

# Until 16 it is the member that inherits, from all or from none; since then each membership says so itself.
_MEMBERSHIPS = """
SELECT m.roleid::regrole::text AS role, m.member::regrole::text AS member,
       coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits, m.admin_option AS administers
FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member ORDER BY 1, 2
"""

_SETTINGS = """
SELECT r.rolname::text AS role, d.datname::text AS database, split_part(s.setting, '=', 1) AS name,
       substr(s.setting, strpos(s.setting, '=') + 1) AS value
FROM pg_db_role_setting AS a LEFT JOIN pg_roles AS r ON r.oid = a.setrole
     LEFT JOIN pg_database AS d ON d.oid = a.setdatabase,
     unnest(a.setconfig) AS s (setting)
WHERE a.setdatabase = 0 OR d.datname = current_database() ORDER BY 1, 2, 3
"""

_INDEXES = f"""
SELECT i.indrelid::regclass::text AS table, i.indexrelid::regclass::text AS name,
       ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (n, place)
             LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.n
             WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns,
       i.indisunique AS unique, i.indisprimary AS primary, i.indpred IS NOT NULL AS partial,
       k.conname::text AS constraint, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
WHERE c.relnamespace IN {_OURS} AND i.indisvalid ORDER BY 1, 2
"""

_KEYS = f"""
SELECT k.conrelid::regclass::text AS table, k.conname::text AS name,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n (num, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.num ORDER BY n.place) AS columns,
       k.confrelid::regclass::text AS target,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n (num, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = n.num ORDER BY n.place)
           AS target_columns,
       k.convalidated AS validated, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k WHERE k.contype = 'f' AND k.connamespace IN {_OURS} ORDER BY 1, 2
"""

_TRIGGERS = f"""
SELECT t.tgrelid::regclass::text AS table, t.tgname::text AS name, t.tgfoid::regproc::text AS function,
       t.tgenabled::text AS enabled, t.tgisinternal AS internal, pg_get_triggerdef(t.oid) AS definition
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.relnamespace IN {_OURS} ORDER BY 1, 2
"""

_DEFAULTS = """
SELECT d.defaclrole::regrole::text AS creator, n.nspname::text AS schema, d.defaclobjtype::text AS kind,
       coalesce(r.rolname, 'PUBLIC')::text AS role, g.privilege_type AS privilege
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace, aclexplode(d.defaclacl) AS g
LEFT JOIN pg_roles AS r ON r.oid = g.grantee
WHERE g.grantee <> d.defaclrole ORDER BY 1, 2, 3, 4, 5
"""

_EXTENSIONS = """
SELECT e.extname::text AS name, n.nspname::text AS schema
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace ORDER BY 1
"""


def read(connection: psycopg.Connection[Any]) -> catalog.Catalog:
    """One consistent look, in a savepoint (or transaction) that is read-only and rolled back."""
    with connection.transaction(force_rollback=True):
        connection.execute(_ALONE)
        (server,) = _rows(connection, catalog.Server, _SERVER)
        return catalog.Catalog(
            server=server,
            tables=_rows(connection, catalog.Table, _TABLES),
            sequences=tuple(name for (name,) in connection.execute(_SEQUENCES)),
            policies=_rows(connection, catalog.Policy, _POLICIES),
            functions=_rows(connection, catalog.Function, _FUNCTIONS),
            grants=_rows(connection, catalog.Grant, _GRANTS),
            roles=_rows(connection, catalog.Role, _ROLES),
            memberships=_rows(connection, catalog.Membership, _MEMBERSHIPS),
            settings=_rows(connection, catalog.Setting, _SETTINGS),
            indexes=_rows(connection, catalog.Index, _INDEXES),
            keys=_rows(connection, catalog.Key, _KEYS),
            triggers=_rows(connection, catalog.Trigger, _TRIGGERS),
            defaults=_rows(connection, catalog.Default, _DEFAULTS),
            extensions=_rows(connection, catalog.Extension, _EXTENSIONS),
        )


def _rows(connection: psycopg.Connection[Any], kind: type[Row], query: str) -> tuple[Row, ...]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(query))

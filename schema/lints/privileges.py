"""The grants that are there, held to the list of those that have to be: none too many, none too few."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Grant
from schema.lints.declared import ADMINISTRATORS, ANONYMOUS, DEFINERS, EVERYBODY, ROLES, RUNTIME, SECRETS, USER
from schema.lints.finding import Finding
from schema.lints.grants import Line, declared
from schema.roles import OWNER

# What PostgreSQL gives everybody by itself.
_HARMLESS = {("SCHEMA", "public", "USAGE"), ("DATABASE", None, "CONNECT"), ("DATABASE", None, "TEMPORARY")}
_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}
_NEVER = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")


def line(grant: Grant) -> Line:
    """A function by its name, the database by its kind: neither has two here, see ``function_overloaded``."""
    name = None if grant.kind == "DATABASE" else grant.object.partition("(")[0]
    return grant.kind, name, grant.column, grant.role, grant.privilege


def check(catalog: Catalog) -> Iterator[Finding]:
    """Grants too many and grants too few."""
    wanted = set(declared())
    definers = {function.name for function in catalog.functions if function.as_definer}
    known = {table for _, table, *_ in wanted} | {
        table.name for table in catalog.tables if table.name.startswith("app.")
    }
    for grant in catalog.grants:
        found = line(grant)
        if grant.role in ADMINISTRATORS or not _is_ours(grant, known):
            continue
        if found not in wanted and (grant.kind, found[1], grant.privilege) not in _HARMLESS:
            yield _too_many(grant, found, definers)
        elif grant.grantable:
            yield Finding(
                "grant_option",
                grant.object,
                f"{grant.role} may pass {grant.privilege} on {_where(grant)} on to any other role.",
                f"REVOKE GRANT OPTION FOR {_as_sql(grant)} FROM {grant.role}",
            )
    missing = wanted - {line(grant) for grant in catalog.grants}
    for kind, name, column, role, privilege in sorted(missing, key=str):
        what = f"{privilege} ({column})" if column else privilege
        yield Finding(
            "grant_missing",
            str(name),
            f"{role} lacks {what} on {name}, which its work needs.",
            f"GRANT {what} ON {kind} {name} TO {role}",
        )
    yield from _defaults(catalog)


def _is_ours(grant: Grant, known: set[str | None]) -> bool:
    """What another application has beside us, in ``public`` too, is its own business until it is granted to us."""
    if grant.kind == "DATABASE" or (grant.kind, grant.object) == ("SCHEMA", "public"):
        return grant.role in {*ROLES, EVERYBODY}
    name = grant.object.partition("(")[0]
    if grant.kind == "SEQUENCE":
        name = name.removesuffix("_id_seq")
    return name in known or grant.object.startswith("app.") or grant.role in {*ROLES} - {USER, ANONYMOUS}


def _too_many(grant: Grant, found: Line, definers: set[str]) -> Finding:
    remedy = f"REVOKE {_as_sql(grant)} FROM {grant.role}"
    where = _where(grant)
    code, sentence = (
        "grant_undeclared",
        f"{grant.role} holds {grant.privilege} on {where}, which nobody meant it to have.",
    )
    if grant.kind == "FUNCTION" and found[1] in definers and grant.role in {*RUNTIME, EVERYBODY}:
        code, sentence = (
            "definer_open",
            f"{grant.role} may call {where}, which acts as its owner and not as its caller.",
        )
    elif grant.privilege == "CREATE":
        code = "create_open"
        sentence = (
            f"{grant.role} may create objects in {where}, and so put something else in the place of what is meant."
        )
    elif grant.privilege in _NEVER:
        code = "privilege_past_policies"
        sentence = f"{grant.role} holds {grant.privilege} on {where}; no policy is asked before it is used."
    elif grant.privilege == "SELECT" and _opens_secret(grant):
        code, sentence = "secret_readable", f"{grant.role} may read {where}, which holds what opens something else."
    return Finding(code, grant.object, sentence, remedy)


def _opens_secret(grant: Grant) -> bool:
    return any(
        table == grant.object and grant.column in {None, column} and grant.role not in readers
        for (table, column), readers in SECRETS.items()
    )


def _where(grant: Grant) -> str:
    return f"{grant.object} ({grant.column})" if grant.column else f"{grant.kind.lower()} {grant.object}"


def _as_sql(grant: Grant) -> str:
    what = f"{grant.privilege} ({grant.column})" if grant.column else grant.privilege
    return f"{what} ON {grant.kind} {grant.object}"


def _defaults(catalog: Catalog) -> Iterator[Finding]:
    """What the next migration creates must not be open before it says so."""
    for default in catalog.defaults:
        ours = default.creator in {OWNER, *DEFINERS} or default.schema == "app"
        if ours and default.role in {*ROLES, EVERYBODY}:
            place = f" IN SCHEMA {default.schema}" if default.schema else ""
            yield Finding(
                "default_privilege",
                default.creator,
                f"{default.role} will hold {default.privilege} on whatever {default.creator} makes next.",
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {default.creator}{place} "
                f"REVOKE {default.privilege} ON {_KINDS[default.kind]} FROM {default.role}",
            )

"""Each grant revoked, each grant that nobody made made."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Grant
from schema.lints.declared import DEFINERS, EVERYBODY, RUNTIME, SECRETS
from schema.roles import OWNER
from tests.isolation.mutation.mutant import Mutant

USED = ("SELECT", "INSERT", "UPDATE", "DELETE")
PAST_POLICIES = ("TRUNCATE", "REFERENCES", "TRIGGER")
MAINTAIN_SINCE = 170_000
ASKED = (*RUNTIME, EVERYBODY)
STRANGER = "stranger"
"""Whom the matrix asks about what everybody may."""


def mutants(catalog: Catalog) -> Iterator[Mutant]:
    for grant in catalog.grants:
        # What PostgreSQL gives everybody is not ours, and to take it away weakens nothing.
        if grant.role != EVERYBODY:
            yield _revoked(grant)
            if grant.column is None:
                yield _passed_on(grant)
    yield from _tables(catalog)
    yield from _columns(catalog)
    yield from _objects(catalog)
    yield from _defaults()


def _revoked(grant: Grant) -> Mutant:
    what = _privilege(grant.privilege, grant.column)
    statement = f"REVOKE {what} ON {grant.kind} {grant.object} FROM {grant.role}"
    return Mutant(
        "revoke",
        f"{grant.role}: no {what} on {_short(grant.object)}",
        (statement,),
        (_subject(grant.object),),
        (grant.role,),
    )


def _passed_on(grant: Grant) -> Mutant:
    statement = f"GRANT {grant.privilege} ON {grant.kind} {grant.object} TO {grant.role} WITH GRANT OPTION"
    name = f"{grant.role}: {grant.privilege} on {_short(grant.object)} with grant option"
    return Mutant("grant option", name, (statement,), (_subject(grant.object),), (grant.role,))


def _granted(kind: str, role: str, what: str, place: str, name: str) -> Mutant:
    roles = (STRANGER,) if role == EVERYBODY else (role,)
    statement = f"GRANT {what} ON {place} {name} TO {role}"
    return Mutant(kind, f"{role}: {what} on {_short(name)}", (statement,), (_subject(name),), roles)


def _tables(catalog: Catalog) -> Iterator[Mutant]:
    held = {(grant.role, grant.object, grant.privilege) for grant in catalog.grants if grant.column is None}
    past = (*PAST_POLICIES, "MAINTAIN") if catalog.server.version >= MAINTAIN_SINCE else PAST_POLICIES
    for table in catalog.tables:
        for role in (*ASKED, *DEFINERS):
            for privilege in (*USED, *past) if role in ASKED else USED:
                if (role, table.name, privilege) not in held:
                    yield _granted("grant", role, privilege, "TABLE", table.name)


def _columns(catalog: Catalog) -> Iterator[Mutant]:
    """Where a role has some columns of a table, each of the others; and the secrets, for everyone."""
    held = {(grant.role, grant.object, grant.privilege, grant.column) for grant in catalog.grants}
    some = {(role, table) for role, table, *_ in held}
    for table in catalog.tables:
        for role in RUNTIME:
            for privilege in ("SELECT", "INSERT", "UPDATE") if (role, table.name) in some else ():
                for column in table.columns:
                    if not {(role, table.name, privilege, one) for one in (column, None)} & held:
                        yield _granted("column", role, f"{privilege} ({column})", "TABLE", table.name)
    for (table_name, column), readers in SECRETS.items():
        for role in {*ASKED, *DEFINERS} - set(readers):
            if (role, table_name) not in some:
                yield _granted("column", role, f"SELECT ({column})", "TABLE", table_name)


def _objects(catalog: Catalog) -> Iterator[Mutant]:
    held = {(grant.kind, grant.object, grant.role, grant.privilege) for grant in catalog.grants}
    wanted = [
        *(("FUNCTION", function.signature, role, "EXECUTE") for function in catalog.functions for role in ASKED),
        *(
            ("SEQUENCE", sequence, role, privilege)
            for sequence in catalog.sequences
            for role in ASKED
            for privilege in ("USAGE", "SELECT", "UPDATE")
        ),
        *(("SCHEMA", "app", role, "USAGE") for role in ASKED),
        *(("SCHEMA", schema, role, "CREATE") for schema in ("app", "public") for role in (*ASKED, *DEFINERS)),
        *(("DATABASE", catalog.server.database, role, "CREATE") for role in (*ASKED, *DEFINERS, OWNER)),
    ]
    for kind, name, role, privilege in wanted:
        if (kind, name, role, privilege) not in held:
            yield _granted(kind.lower(), role, privilege, kind, name)


def _defaults() -> Iterator[Mutant]:
    """That everybody may call what is new is PostgreSQL's own default, which every migration takes back."""
    for creator in (OWNER, *DEFINERS):
        for kind, privilege in (("TABLES", "SELECT"), ("SEQUENCES", "USAGE"), ("FUNCTIONS", "EXECUTE")):
            for role in (EVERYBODY, "anon", "authenticated", "recording_worker"):
                if (kind, role) != ("FUNCTIONS", EVERYBODY):
                    statement = f"ALTER DEFAULT PRIVILEGES FOR ROLE {creator} GRANT {privilege} ON {kind} TO {role}"
                    name = f"{role}: {privilege} on {kind.lower()} that {creator} makes next"
                    yield Mutant(
                        "default", name, (statement,), ("roles",), (STRANGER,) if role == EVERYBODY else (role,)
                    )


def _privilege(privilege: str, column: str | None) -> str:
    return f"{privilege} ({column})" if column else privilege


def _subject(name: str) -> str:
    """What a cell of the matrix would call it: a sequence is its table's."""
    return _short(name).removesuffix("_id_seq")


def _short(name: str) -> str:
    """A function without its arguments."""
    return name.partition("(")[0]

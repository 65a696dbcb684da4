"""Roles that can more than they should, become others, or start with a context that nobody verified."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog
from schema.lints.declared import MEMBERSHIPS, OPTIONAL_MEMBERSHIPS, ROLES, RUNTIME
from tests.isolation.mutation.mutant import Mutant

ATTRIBUTES = ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION", "INHERIT", "LOGIN")
PREDEFINED = ("pg_read_all_data", "pg_write_all_data", "pg_execute_server_program", "pg_read_server_files")
ABOUT = ("roles",)
"""What the matrix calls the question which roles a role may become."""

CONTEXTS = (
    ("recording_worker", "app.task_grant"),
    ("authenticator", "request.jwt.claims"),
    ("call_handler", "app.enqueue_org_id"),
    ("recording_ops", "app.named_upload_id"),
)


def mutants(catalog: Catalog) -> Iterator[Mutant]:
    held = {role.name: role for role in catalog.roles}
    for name in ROLES:
        for attribute in ATTRIBUTES:
            if attribute != "LOGIN" or not held[name].logs_in:
                yield Mutant("role", f"{name}: {attribute}", (f"ALTER ROLE {name} {attribute}",), ABOUT, (name,))
    yield from _memberships()
    for role, setting in CONTEXTS:
        for whose in (f"ROLE {role}", f"DATABASE {catalog.server.database}"):
            statement = f"ALTER {whose} SET {setting} = '{{}}'"
            yield Mutant("setting", f"{whose.lower()}: {setting} stands", (statement,), ABOUT, (role,))
    yield Mutant(
        "setting",
        "recording_worker: sequential scans",
        ("ALTER ROLE recording_worker RESET enable_seqscan",),
        ABOUT,
        ("recording_worker",),
    )


def _memberships() -> Iterator[Mutant]:
    """A role that may become its own member cannot be: PostgreSQL refuses circles."""
    for member in RUNTIME:
        for role in (*ROLES, *PREDEFINED):
            pair = (role, member)
            if role != member and pair not in MEMBERSHIPS | OPTIONAL_MEMBERSHIPS and (member, role) not in MEMBERSHIPS:
                yield Mutant(
                    "membership", f"{member}: becomes {role}", (f"GRANT {role} TO {member}",), ABOUT, (member,)
                )
    for role, member in sorted(MEMBERSHIPS):
        revoke = f"REVOKE {role} FROM {member}"
        yield Mutant("membership", f"{member}: not {role}", (revoke,), ABOUT, (member,))
        for option in ("INHERIT", "ADMIN"):
            grant = f"GRANT {role} TO {member} WITH {option} TRUE"
            yield Mutant("membership", f"{member}: {role} with {option.lower()}", (grant,), (), (member,))

"""No role that the system runs as escapes row-level security, may become one that does, or carries a context about."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Membership, Role
from schema.lints.declared import (
    ANONYMOUS,
    CONTEXTS,
    DEFINERS,
    MEMBERSHIPS,
    OPTIONAL_MEMBERSHIPS,
    ROLES,
    SETTINGS,
    USER,
)
from schema.lints.finding import Finding
from schema.roles import OWNER


def check(catalog: Catalog) -> Iterator[Finding]:
    """Roles, memberships, and settings that stand."""
    there = {role.name for role in catalog.roles}
    for name in ROLES:
        if name not in there:
            yield Finding("role_missing", name, f"There is no role {name}.", "run: recordings migrate")
    for role in catalog.roles:
        if role.name in ROLES:
            yield from _role(role)
    yield from _memberships(catalog.memberships)
    yield from _settings(catalog)


def _role(role: Role) -> Iterator[Finding]:
    """Attributes of a role of ours."""
    faults = (
        (role.superuser, "role_superuser", "is superuser: nothing binds it", "NOSUPERUSER"),
        (role.bypasses, "role_bypasses", "has BYPASSRLS: no policy binds it", "NOBYPASSRLS"),
        (role.creates_roles, "role_creates_roles", "has CREATEROLE: it can make itself other roles", "NOCREATEROLE"),
        (role.creates_databases, "role_creates_databases", "has CREATEDB", "NOCREATEDB"),
        (
            role.replicates,
            "role_replicates",
            "has REPLICATION: it can read every change of every table",
            "NOREPLICATION",
        ),
        (
            role.inherits,
            "role_inherits",
            "has INHERIT: what it may become, it is, without saying so",
            "NOINHERIT",
        ),
        (
            role.logs_in and role.name in {*DEFINERS, OWNER, USER, ANONYMOUS},
            "role_logs_in",
            "can log in, and is there for functions or for SET ROLE only",
            "NOLOGIN",
        ),
    )
    for wrong, code, what, remedy in faults:
        if wrong:
            yield Finding(code, role.name, f"{role.name} {what}.", f"ALTER ROLE {role.name} {remedy}")


def _memberships(memberships: tuple[Membership, ...]) -> Iterator[Finding]:
    allowed = MEMBERSHIPS | OPTIONAL_MEMBERSHIPS
    for held in memberships:
        pair = (held.role, held.member)
        if held.member in ROLES and pair not in allowed:
            yield Finding(
                "membership_undeclared",
                held.member,
                f"{held.member} may become {held.role}.",
                f"REVOKE {held.role} FROM {held.member}",
            )
        elif held.member in ROLES and held.inherits:
            yield Finding(
                "membership_inherits",
                held.member,
                f"{held.member} has what {held.role} has without becoming it.",
                f"GRANT {held.role} TO {held.member} WITH INHERIT FALSE",
            )
        elif held.member in ROLES and held.administers:
            yield Finding(
                "membership_administers",
                held.member,
                f"{held.member} may make others members of {held.role}.",
                f"REVOKE ADMIN OPTION FOR {held.role} FROM {held.member}",
            )
    for role, member in sorted(MEMBERSHIPS - {(held.role, held.member) for held in memberships}):
        sentence = f"{member} cannot become {role}: the API has nobody to act as."
        yield Finding("membership_missing", member, sentence, f"GRANT {role} TO {member}")


def _settings(catalog: Catalog) -> Iterator[Finding]:
    """A context is for one transaction. One that a role or the database starts with is everybody's."""
    for setting in catalog.settings:
        if setting.role in {None, *ROLES} and setting.name.startswith(CONTEXTS):
            whose = setting.role or f"database {setting.database}"
            how = f"ROLE {setting.role}" if setting.role else f"DATABASE {setting.database}"
            yield Finding(
                "context_standing",
                whose,
                f"{whose} starts every session with {setting.name} set: a context that nobody verified.",
                f"ALTER {how} RESET {setting.name}",
            )
    there = {(setting.role, setting.name, setting.value) for setting in catalog.settings}
    for role, name, value in SETTINGS:
        if (role, name, value) not in there:
            sentence = f"{role} runs without {name} = {value}: on an empty table a missing grant is no error."
            yield Finding("role_setting", role, sentence, f"ALTER ROLE {role} SET {name} = {value}")

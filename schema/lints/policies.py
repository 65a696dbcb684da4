"""Each policy binds a role to one organisation, or is declared to do something else; there is one for each command."""

import re
from collections import defaultdict
from collections.abc import Iterator

from schema.lints.catalog import Catalog, Policy
from schema.lints.declared import BOUND, EVERYBODY, POLICIES, UNPROTECTED, one
from schema.lints.finding import Finding

_COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_ALWAYS = re.compile(r"\(*(true|1 = 1|'(.*)'(::\w+)? = '\2'(::\w+)?)\)*")
_ONCE = re.compile(r"\( SELECT (\S+\(\)) AS \w+\)")


def check(catalog: Catalog) -> Iterator[Finding]:
    """Policies, one by one, and how they stand together."""
    for policy in catalog.policies:
        for role in policy.roles:
            yield from _policy(policy, role)
    yield from _overlaps(catalog)
    yield from _gaps(catalog)


def _policy(policy: Policy, role: str) -> Iterator[Finding]:
    wanted = POLICIES.get((role, policy.table, policy.command), _bound(policy.table, role))
    for clause, expression in _clauses(policy):
        found = _fault(expression, wanted, role)
        if found:
            code, what = found
            yield Finding(
                code,
                policy.table,
                f"Policy {policy.name} on {policy.table} for {role}, {clause}: {what}.",
                f"DROP POLICY {policy.name} ON {policy.table}, and make it as the migrations do"
                if wanted is None
                else f"ALTER POLICY {policy.name} ON {policy.table} {clause} {wanted}",
            )


def _clauses(policy: Policy) -> Iterator[tuple[str, str]]:
    """Without a WITH CHECK the USING counts for new rows too; without a USING none is needed for an INSERT."""
    if policy.command != "INSERT":
        yield "USING", policy.using or "true"
    if policy.check is not None or policy.command == "INSERT":
        yield "WITH CHECK", policy.check or "true"


def _bound(table: str, role: str) -> str | None:
    column = "id" if table == "public.organizations" else "org_id"
    return f"({column} = {one(BOUND[role])})" if role in BOUND else None


def _fault(expression: str, wanted: str | None, role: str) -> tuple[str, str] | None:
    if role == EVERYBODY:
        return "policy_for_everybody", "it holds for every role that there is and will be"
    if expression == wanted:
        return None
    if "user_metadata" in expression:
        return "policy_reads_user_metadata", "user_metadata is what users write about themselves; app_metadata is not"
    if _ALWAYS.fullmatch(expression):
        return "policy_always_true", "it is true for every row of every organisation"
    if wanted and _ONCE.sub(r"\1", wanted) == expression:
        return "policy_calls_per_row", "its function is called for every row, not once as (SELECT …)"
    return "policy_not_bound", f"{expression} is not the comparison with the role's own organisation"


def _overlaps(catalog: Catalog) -> Iterator[Finding]:
    """Permissive policies are OR-ed: the wider of two is the one that counts."""
    together: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for policy in catalog.policies:
        for role in policy.roles if policy.permissive else ():
            for command in _COMMANDS if policy.command == "ALL" else (policy.command,):
                together[policy.table, role, command].append(policy.name)
    told = set()
    for (table, role, command), names in together.items():
        if len(names) > 1 and (table, role) not in told:
            told.add((table, role))
            sentence = (
                f"{role} has {len(names)} policies for {command} on {table} ({', '.join(names)}): the widest counts."
            )
            yield Finding("policies_overlap", table, sentence, f"DROP POLICY {names[-1]} ON {table}")


def _gaps(catalog: Catalog) -> Iterator[Finding]:
    """A grant that no policy lets anybody use: no rows and no error, which looks like an empty table."""
    covered = {
        (policy.table, role, command)
        for policy in catalog.policies
        if policy.permissive
        for role in policy.roles
        for command in (_COMMANDS if policy.command == "ALL" else (policy.command,))
    }
    secured = {table.name for table in catalog.tables if table.secured and table.name not in UNPROTECTED}
    held = {(grant.object, grant.role, grant.privilege) for grant in catalog.grants if grant.kind == "TABLE"}
    guarded = {policy.table for policy in catalog.policies}
    for table, role, command in sorted(held - covered):
        if command in _COMMANDS and table in secured & guarded and (table, EVERYBODY, command) not in covered:
            yield Finding(
                "grant_without_policy",
                table,
                f"{role} holds {command} on {table}, and no policy lets it: it meets an empty table and no error.",
                f"REVOKE {command} ON {table} FROM {role}",
            )

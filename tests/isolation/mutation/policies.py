"""Row-level security taken back: each policy dropped or weakened, each table's security off or not forced."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Policy
from tests.isolation.mutation.mutant import Mutant

OWNER = "recordings_owner"


def mutants(catalog: Catalog) -> Iterator[Mutant]:
    nullable = {table.name for table in catalog.tables if "org_id" in set(table.columns) - set(table.required)}
    for policy in catalog.policies:
        yield from _policy(policy, org_may_be_null=policy.table in nullable)
    for table in catalog.tables:
        if table.secured:
            off = f"ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY"
            yield Mutant("security", f"{table.name}: row-level security off", (off,), (table.name,))
        if table.forced:
            lax = f"ALTER TABLE {table.name} NO FORCE ROW LEVEL SECURITY"
            yield Mutant("security", f"{table.name}: not forced", (lax,), (table.name,), (OWNER,))
    yield from _second_policies(catalog)


def _policy(policy: Policy, *, org_may_be_null: bool) -> Iterator[Mutant]:
    where = (policy.table,)
    label = f"{policy.table}.{policy.name}"
    on = f"POLICY {policy.name} ON {policy.table}"
    yield Mutant("policy", f"{label}: dropped", (f"DROP {on}",), where, tuple(policy.roles))
    yield Mutant("policy", f"{label}: TO PUBLIC", (f"ALTER {on} TO PUBLIC",), where)
    clauses = {"USING": policy.using, "WITH CHECK": policy.check}
    if policy.check is None and policy.command in {"ALL", "UPDATE"}:
        clauses["WITH CHECK"] = policy.using
    for clause, expression in clauses.items():
        # What is true already cannot be weakened.
        for what, weaker in _weaker(expression, org_may_be_null) if expression not in {None, "true"} else ():
            statement = f"ALTER {on} {clause} ({weaker})"
            yield Mutant("policy", f"{label}: {clause} {what}", (statement,), where, tuple(policy.roles))


def _weaker(expression: str | None, org_may_be_null: bool) -> Iterator[tuple[str, str]]:
    """On a column that is never null, neither OR org_id IS NULL nor IS NOT DISTINCT FROM admits a row more: the first
    is false there, and so is the second with null on the other side. These two are made elsewhere only."""
    yield "(true)", "true"
    yield "OR true", f"{expression} OR true"
    if org_may_be_null:
        yield "OR org_id IS NULL", f"{expression} OR org_id IS NULL"
        if "(org_id = " in str(expression):
            yield "IS NOT DISTINCT FROM", str(expression).replace("org_id = ", "org_id IS NOT DISTINCT FROM ")
    parts = conjuncts(str(expression))
    for dropped in parts if len(parts) > 1 else ():
        yield f"without {dropped}", " AND ".join(part for part in parts if part != dropped)


def conjuncts(expression: str) -> list[str]:
    """The parts of ``((a) AND (b))``, which is how the server writes it."""
    inner, parts, depth, begin = expression[1:-1], [], 0, 0
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and inner[place:].startswith(" AND "):
            parts.append(inner[begin:place])
            begin = place + len(" AND ")
    return [*parts, inner[begin:]]


def _second_policies(catalog: Catalog) -> Iterator[Mutant]:
    """A wide policy beside the narrow one. Beside one that is true already it would add nothing."""
    narrow = {
        (policy.table, role)
        for policy in catalog.policies
        for role in policy.roles
        if {policy.using, policy.check} - {None, "true"}
    }
    for table, role in sorted(narrow):
        wide = f"CREATE POLICY wide ON {table} TO {role} USING (true) WITH CHECK (true)"
        yield Mutant("policy", f"{table}: a second, wide policy for {role}", (wide,), (table,), (role,))

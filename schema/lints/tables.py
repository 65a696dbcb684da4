"""Row-level security is on and forced, rows stay where they are, and nothing else shows them."""

from collections.abc import Iterator

from schema.lints.catalog import Catalog, Table, Trigger
from schema.lints.declared import APPEND_ONLY, EVERYBODY, ORG_MAY_BE_NULL, RUNTIME, TENANTLESS, UNPROTECTED
from schema.lints.finding import Finding
from schema.roles import OWNER

_NEVER_MOVES = (
    "CREATE TRIGGER refuse_org_change BEFORE UPDATE ON {} FOR EACH ROW "
    "WHEN ((old.org_id IS DISTINCT FROM new.org_id)) EXECUTE FUNCTION app.refuse_org_change()"
)
_TOUCHED = "CREATE TRIGGER touch_updated_at BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION app.touch_updated_at()"
_APPENDED = (
    "CREATE TRIGGER append_only BEFORE DELETE OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION app.refuse_change()",
    "CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change()",
)


def check(catalog: Catalog) -> Iterator[Finding]:
    """Tables, views and triggers."""
    guarded = {policy.table for policy in catalog.policies}
    open_ = {grant.object for grant in catalog.grants if grant.role in {*RUNTIME, EVERYBODY}}
    for table in catalog.tables:
        if table.kind not in "rp":
            yield from _beside(table)
        elif _is_ours(table) or (table.name in open_ and not table.secured):
            yield from _security(table, has_policy=table.name in guarded or _is_nobodys(table))
            yield from _columns(table)
            yield from _triggers(table, catalog.triggers)
        yield from _owner(table)
    for trigger in catalog.triggers:
        if trigger.enabled not in "OA":
            yield Finding(
                "trigger_disabled",
                trigger.table,
                f"Trigger {trigger.name} of {trigger.table} does not fire: "
                + ("a foreign key is not checked." if trigger.internal else "what it refuses is not refused."),
                f"ALTER TABLE {trigger.table} ENABLE TRIGGER {'ALL' if trigger.internal else trigger.name}",
            )
    for extension in catalog.extensions:
        if extension.schema in {"public", "app"}:
            yield Finding(
                "extension_beside_tables",
                extension.name,
                f"Extension {extension.name} is in schema {extension.schema}, where an API publishes its functions.",
                f"ALTER EXTENSION {extension.name} SET SCHEMA extensions",
                level="warning",
            )


def _security(table: Table, *, has_policy: bool) -> Iterator[Finding]:
    if not table.secured and has_policy:
        yield Finding(
            "policies_asleep",
            table.name,
            f"{table.name} has policies, but row-level security is off: none of them is asked.",
            f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY",
        )
    elif not table.secured:
        yield Finding(
            "rls_off",
            table.name,
            f"Row-level security of {table.name} is off: whoever holds a grant sees every row.",
            f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY",
        )
    elif not has_policy:
        yield Finding(
            "rls_without_policy",
            table.name,
            f"{table.name} has row-level security and no policy: nobody can use it.",
            f"CREATE POLICY … ON {table.name} TO … USING (org_id = (SELECT …))",
        )
    if not table.forced:
        yield Finding(
            "rls_not_forced",
            table.name,
            f"Row-level security of {table.name} is not forced: it does not bind the owner.",
            f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY",
        )


def _is_ours(table: Table) -> bool:
    """What another application has in ``public`` is its own business, until our users may ask it."""
    ours = "org_id" in table.columns or table.name in TENANTLESS or table.name.startswith("app.")
    return ours and table.name not in UNPROTECTED


def _is_nobodys(table: Table) -> bool:
    """In our own schema: another application's tables need not have organisations."""
    return "org_id" not in table.columns and table.name not in TENANTLESS and table.name.startswith("app.")


def _columns(table: Table) -> Iterator[Finding]:
    if _is_nobodys(table):
        yield Finding(
            "org_id_missing",
            table.name,
            f"{table.name} does not say whose its rows are.",
            f"ALTER TABLE {table.name} ADD COLUMN org_id uuid NOT NULL REFERENCES public.organizations (id)",
        )
    elif "org_id" in table.columns and "org_id" not in table.required and table.name not in ORG_MAY_BE_NULL:
        yield Finding(
            "org_id_nullable",
            table.name,
            f"org_id of {table.name} may be null: such a row belongs to nobody, and moves where one likes.",
            f"ALTER TABLE {table.name} ALTER COLUMN org_id SET NOT NULL",
        )


def _triggers(table: Table, triggers: tuple[Trigger, ...]) -> Iterator[Finding]:
    there = {trigger.definition for trigger in triggers if trigger.table == table.name}
    if table.name in APPEND_ONLY:
        for wanted in _APPENDED:
            if wanted.format(table.name) not in there:
                sentence = f"Rows of {table.name} can be changed or deleted: it is no evidence."
                yield Finding("audit_log_editable", table.name, sentence, wanted.format(table.name))
    elif "org_id" in table.columns and _NEVER_MOVES.format(table.name) not in there:
        sentence = f"Nothing stops a row of {table.name} from being moved to another organisation."
        yield Finding("org_id_movable", table.name, sentence, _NEVER_MOVES.format(table.name))
    if "updated_at" in table.columns and _TOUCHED.format(table.name) not in there:
        sentence = f"updated_at of {table.name} is whatever the writer says."
        yield Finding("updated_at_forgeable", table.name, sentence, _TOUCHED.format(table.name))


def _beside(table: Table) -> Iterator[Finding]:
    if table.kind == "v" and not table.as_invoker:
        yield Finding(
            "view_as_owner",
            table.name,
            f"View {table.name} reads with its owner's eyes: policies are asked about the owner, not about who asks.",
            f"ALTER VIEW {table.name} SET (security_invoker = on)",
        )
    elif table.kind == "m":
        sentence = f"Materialized view {table.name} is a copy that no policy guards."
        yield Finding("rows_copied", table.name, sentence, f"DROP MATERIALIZED VIEW {table.name}")
    elif table.kind == "f":
        sentence = f"Foreign table {table.name} shows another server's rows, which no policy guards."
        yield Finding("rows_elsewhere", table.name, sentence, f"DROP FOREIGN TABLE {table.name}")


def _owner(table: Table) -> Iterator[Finding]:
    ours = table.kind in "rp" and ("org_id" in table.columns or table.name in TENANTLESS)
    if ours and table.name != "app.alembic_version" and table.owner != OWNER:
        yield Finding(
            "table_owner",
            table.name,
            f"{table.name} belongs to {table.owner}, who can switch its row-level security off.",
            f"ALTER TABLE {table.name} OWNER TO {OWNER}",
        )

"""Each static check, broken alone in a real database: it says so, and no other does."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schema import lints
from schema.lints import catalog
from schema.lints.read import read
from tests.database import Database

# Each by itself, as superuser, in a transaction that is rolled back.
BREAKS = {
    "rls_off": (
        "CREATE TABLE public.notes (id uuid PRIMARY KEY)",
        "ALTER TABLE public.notes FORCE ROW LEVEL SECURITY",
        "GRANT SELECT ON public.notes TO authenticated",
    ),
    "policies_asleep": ("ALTER TABLE public.leads DISABLE ROW LEVEL SECURITY",),
    "rls_without_policy": ("DROP POLICY own_organization ON public.knowledge_base",),
    "rls_not_forced": ("ALTER TABLE public.call_logs NO FORCE ROW LEVEL SECURITY",),
    "org_id_missing": (
        "CREATE TABLE app.notes (id uuid PRIMARY KEY)",
        "ALTER TABLE app.notes FORCE ROW LEVEL SECURITY",
        "ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY",
    ),
    "org_id_nullable": ("ALTER TABLE public.agents ALTER COLUMN org_id DROP NOT NULL",),
    "org_id_movable": ("DROP TRIGGER refuse_org_change ON public.leads",),
    "updated_at_forgeable": ("DROP TRIGGER touch_updated_at ON public.leads",),
    "audit_log_editable": ("DROP TRIGGER append_only_truncate ON public.audit_log",),
    "trigger_disabled": ("ALTER TABLE public.call_logs DISABLE TRIGGER refuse_org_change",),
    "table_owner": ("ALTER TABLE public.recording_downloads OWNER TO postgres",),
    "view_as_owner": ("CREATE VIEW public.calls AS SELECT * FROM public.call_logs",),
    "rows_copied": ("CREATE MATERIALIZED VIEW public.calls AS SELECT * FROM public.call_logs",),
    "rows_elsewhere": (
        "CREATE FOREIGN DATA WRAPPER elsewhere",
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere",
        "CREATE FOREIGN TABLE public.calls (org_id uuid) SERVER elsewhere",
    ),
    "policy_for_everybody": ("ALTER POLICY own_organization ON public.leads TO PUBLIC",),
    "policy_reads_user_metadata": (
        "ALTER POLICY own_organization ON public.call_logs USING (org_id = "
        "(current_setting('request.jwt.claims')::jsonb #>> '{user_metadata,org_id}')::uuid)",
    ),
    "policy_always_true": ("ALTER POLICY own_organization ON public.call_logs USING (true)",),
    "policy_calls_per_row": (
        "ALTER POLICY own_organization ON public.call_logs USING (org_id = public.auth_org_id())",
    ),
    "policy_not_bound": (
        "ALTER POLICY own_organization ON public.call_logs "
        "USING (org_id = (SELECT public.auth_org_id()) OR org_id IS NULL)",
    ),
    "policies_overlap": (
        "CREATE POLICY once_more ON public.call_logs FOR SELECT TO authenticated "
        "USING (org_id = (SELECT public.auth_org_id()))",
    ),
    "grant_without_policy": ("DROP POLICY operators_read ON public.recording_upload_queue",),
    "grant_undeclared": ("GRANT SELECT (transcript) ON public.call_logs TO recording_worker",),
    "grant_missing": ("REVOKE UPDATE (status) ON public.recording_upload_queue FROM recording_worker",),
    "grant_option": ("GRANT SELECT ON public.call_logs TO authenticated WITH GRANT OPTION",),
    "definer_open": ("GRANT EXECUTE ON FUNCTION public.retry_failed_upload TO authenticated",),
    "create_open": ("GRANT CREATE ON SCHEMA public TO PUBLIC",),
    "privilege_past_policies": ("GRANT TRUNCATE ON public.call_logs TO authenticated",),
    "secret_readable": ("GRANT SELECT (source_url) ON public.recording_upload_queue TO recording_ops",),
    "default_privilege": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE recordings_owner GRANT SELECT ON TABLES TO authenticated",
    ),
    "search_path_open": ("ALTER FUNCTION public.auth_org_id() SET search_path = ''",),
    "definer_undeclared": ("ALTER FUNCTION public.auth_org_id() SECURITY DEFINER",),
    "definer_missing": ("ALTER FUNCTION app.task_org_id() SECURITY INVOKER",),
    "function_owner": ("ALTER FUNCTION app.task_org_id() OWNER TO postgres",),
    "function_overloaded": (
        "SET LOCAL ROLE recordings_owner",
        "CREATE FUNCTION public.auth_org_id(text) RETURNS uuid LANGUAGE sql "
        "SET search_path = pg_catalog, pg_temp AS 'SELECT NULL::uuid'",
        "REVOKE ALL ON FUNCTION public.auth_org_id(text) FROM PUBLIC",
    ),
    "key_crosses_organizations": (
        "ALTER TABLE public.recording_downloads DROP CONSTRAINT recording_downloads_org_id_call_id_fkey, "
        "ADD FOREIGN KEY (call_id) REFERENCES public.call_logs (id)",
        "CREATE INDEX ON public.recording_downloads (call_id)",
    ),
    "key_unvalidated": (
        "ALTER TABLE public.recording_downloads DROP CONSTRAINT recording_downloads_org_id_call_id_fkey, "
        "ADD FOREIGN KEY (org_id, call_id) REFERENCES public.call_logs (org_id, id) NOT VALID",
    ),
    "key_unindexed": ("DROP INDEX public.recording_downloads_call",),
    "key_missing": ("ALTER TABLE public.recording_downloads DROP CONSTRAINT recording_downloads_org_id_call_id_fkey",),
    "policy_column_unindexed": ("DROP INDEX public.knowledge_base_org_id",),
    "unique_across_organizations": ("CREATE UNIQUE INDEX ON public.leads (email)",),
    "role_superuser": ("ALTER ROLE recording_ops SUPERUSER",),
    "role_bypasses": ("ALTER ROLE recording_worker BYPASSRLS",),
    "role_creates_roles": ("ALTER ROLE call_handler CREATEROLE",),
    "role_creates_databases": ("ALTER ROLE call_handler CREATEDB",),
    "role_replicates": ("ALTER ROLE recording_dispatcher REPLICATION",),
    "role_inherits": ("ALTER ROLE recording_ops INHERIT",),
    "role_logs_in": ("ALTER ROLE recordings_owner LOGIN",),
    "membership_undeclared": ("GRANT recordings_owner TO recording_worker WITH INHERIT FALSE",),
    "membership_inherits": ("GRANT authenticated TO authenticator WITH INHERIT TRUE",),
    "membership_administers": ("GRANT authenticated TO authenticator WITH ADMIN TRUE",),
    "membership_missing": ("REVOKE anon FROM authenticator",),
    "context_standing": ("ALTER ROLE authenticator SET request.jwt.claims = '{}'",),
    "role_setting": ("ALTER ROLE recording_worker RESET enable_seqscan",),
}

# What this server cannot be brought to, of a catalog that says so.
PRETENDED: dict[str, dict[str, Any]] = {
    "extension_beside_tables": {"extensions": (catalog.Extension("pgcrypto", "public"),)},
    "role_missing": {"roles": ()},
    "server_vulnerable": {"server": catalog.Server(150_002, "recordings")},
}


def test_the_database_that_the_migrations_make_has_nothing_to_find(shared: Database) -> None:
    with shared.connect() as admin:
        assert lints.findings(admin) == ()


@pytest.mark.parametrize("code", BREAKS)
def test_what_is_broken_is_found_by_its_own_check_and_no_other(shared: Database, code: str) -> None:
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        for statement in BREAKS[code]:
            admin.execute(statement)
        found = lints.findings(admin)
    assert {finding.code for finding in found} == {code}, found
    assert all(finding.remedy and finding.level == "error" for finding in found)


@pytest.mark.parametrize("code", PRETENDED)
def test_what_cannot_be_broken_here_is_found_where_a_catalog_says_so(shared: Database, code: str) -> None:
    with shared.connect() as admin:
        found = lints.judge(replace(read(admin), **PRETENDED[code]))
    assert {finding.code for finding in found} == {code}, found


def test_what_another_application_has_beside_us_is_its_own_business(shared: Database) -> None:
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        for statement in (
            "CREATE TABLE public.notes (id integer PRIMARY KEY, text text UNIQUE)",
            "CREATE FUNCTION public.count_notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.notes'",
            "CREATE ROLE another_application NOLOGIN",
            "GRANT CREATE, USAGE ON SCHEMA public TO another_application",
            "GRANT SELECT ON public.notes TO another_application",
            f"ALTER DATABASE {shared.name} SET app.settings.jwt_exp = '3600'",
        ):
            admin.execute(statement)
        assert lints.findings(admin) == ()


def codes() -> Iterator[str]:
    """Every text in the checks that looks like a code."""
    for file in Path(lints.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())) if file.stem not in {"declared", "grants"} else ():
            if isinstance(node, ast.Constant) and re.fullmatch(r"[a-z]+(_[a-z]+)+", str(node.value)):
                yield str(node.value)


def test_every_check_is_broken_by_a_test() -> None:
    names = {"org_id", "updated_at", "user_metadata", "session_replication_role", "service_role"}
    assert set(codes()) - names == BREAKS.keys() | PRETENDED.keys()


def test_a_look_changes_nothing_and_leaves_nothing_set(shared: Database) -> None:
    with shared.connect("recording_worker") as worker, worker.transaction():
        before = worker.execute("SHOW search_path").fetchone()
        lints.findings(worker)
        assert worker.execute("SHOW search_path").fetchone() == before
        assert worker.execute("SHOW transaction_read_only").fetchone() == ("off",)

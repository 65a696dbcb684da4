"""What holds for every table and role at once, and what the other logins may and may not."""

from uuid import UUID, uuid4

import psycopg
import pytest

from schema.roles import LOGINS, UnsafeLoginError, refuse_unsafe_login
from tests.database import Database
from tests.isolation.test_grants import TABLES

TENANT_TABLES = [table for table in TABLES if table not in {"organizations", "audit_log"}]


def test_row_level_security_is_on_and_forced_on_every_table(shared: Database) -> None:
    found = shared.all(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND relrowsecurity AND relforcerowsecurity ORDER BY 1"
    )
    assert [name for (name,) in found] == sorted(TABLES)


def test_every_policy_names_its_role_and_none_reads_user_metadata(shared: Database) -> None:
    policies = shared.all("SELECT roles::text[], coalesce(qual, '') || coalesce(with_check, '') FROM pg_policies")
    assert policies
    assert all("public" not in roles and "user_metadata" not in condition for roles, condition in policies)


def test_every_function_of_ours_pins_its_search_path_and_is_closed_to_the_public(shared: Database) -> None:
    functions = shared.all(
        "SELECT proname, coalesce(proconfig, '{}'), prosecdef, rolname, rolcanlogin, "
        "has_function_privilege('anon', p.oid, 'EXECUTE') FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = proowner "
        "WHERE pronamespace IN ('public'::regnamespace, 'app'::regnamespace)"
    )
    assert functions
    for name, config, definer, owner, owner_logs_in, open_to_anon in functions:
        assert "search_path=pg_catalog, pg_temp" in config, name
        assert not open_to_anon, name
        assert not owner_logs_in, name
        definers = {
            "recording_grant_verifier",
            "recording_enqueuer",
            "recording_operator_actions",
            "recording_reporter",
            "recording_sweep_requester",
            "recording_integrator",
            "recording_refusal_reporter",
            "recording_download_requester",
            "recording_call_receiver",
            "recording_eraser",
            "recording_retention_planner",
        }
        assert not definer or owner in definers, name


def test_org_id_is_everywhere_and_never_null(shared: Database) -> None:
    nullable = shared.all(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'org_id' "
        "AND is_nullable = 'NO' ORDER BY 1"
    )
    assert [name for (name,) in nullable] == sorted(TENANT_TABLES)


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_row_never_changes_its_organisation_not_even_by_the_administrator(shared: Database, table: str) -> None:
    trigger = shared.one(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = 'refuse_org_change'", table
    )
    assert trigger == 1


def test_moving_a_row_is_refused_by_the_trigger(shared: Database) -> None:
    org, other = shared.organisation(), shared.organisation()
    shared.enqueue(org)
    for table in ("call_logs", "recording_upload_queue"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="cannot be changed"):
            shared.run(f"UPDATE {table} SET org_id = %s WHERE org_id = %s", other, org)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url) "
        "VALUES (%(org)s, %(call)s, 'https', 'r', 'https://x.example/')",
        "INSERT INTO failed_recording_uploads (org_id, call_id, upload_id, error_code, error_message) "
        "VALUES (%(org)s, %(call)s, %(upload)s, 'x', 'x')",
        "INSERT INTO recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome) "
        "VALUES (%(org)s, %(call)s, %(upload)s, 1, 'completed')",
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason) "
        "VALUES (%(org)s, %(call)s, gen_random_uuid(), 'r')",
    ],
)
def test_a_row_of_another_organisations_call_cannot_exist(shared: Database, statement: str) -> None:
    """The composite key, as administrator, whom no policy binds."""
    org, other = shared.organisation(), shared.organisation()
    foreign = shared.enqueue(other)
    with shared.connect() as admin, pytest.raises(psycopg.errors.ForeignKeyViolation):
        admin.execute(statement, {"org": org, "call": foreign.call_id, "upload": foreign.upload_id})


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        ("recording_dispatcher", "SELECT source_url FROM recording_upload_queue"),
        ("recording_dispatcher", "SELECT call_id FROM recording_upload_queue"),
        ("recording_dispatcher", "SELECT * FROM call_logs"),
        ("recording_dispatcher", "UPDATE recording_upload_queue SET status = 'failed'"),
        ("recording_dispatcher", "SELECT name FROM organizations"),
        ("recording_dispatcher", "SELECT * FROM app.grant_keys"),
        ("recording_ops", "SELECT source_url FROM recording_upload_queue"),
        ("recording_ops", "SELECT * FROM call_logs"),
        ("recording_ops", "SELECT * FROM integrations"),
        ("recording_ops", "UPDATE recording_upload_queue SET status = 'pending'"),
        ("recording_ops", "UPDATE failed_recording_uploads SET resolved_at = now()"),
        ("call_handler", "SELECT id FROM recording_upload_queue"),
        ("call_handler", "SELECT id FROM call_logs"),
        ("call_handler", "SELECT id FROM organizations"),
        ("call_handler", "INSERT INTO call_logs (org_id) VALUES (NULL)"),
        ("authenticator", "SELECT id FROM call_logs"),
    ],
)
def test_each_login_may_do_its_own_and_no_more(shared: Database, login: str, statement: str) -> None:
    with shared.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_dispatcher_sees_when_rows_are_due_for_every_organisation(shared: Database) -> None:
    orgs = {shared.organisation(), shared.organisation()}
    for org in orgs:
        shared.enqueue(org)
    with shared.connect("recording_dispatcher") as dispatcher:
        rows = dispatcher.execute("SELECT org_id, status, next_attempt_at FROM recording_upload_queue").fetchall()
    assert orgs <= {row[0] for row in rows}


def test_enqueueing_touches_the_organisation_that_it_names_and_no_other(shared: Database) -> None:
    """The function's own role, with the setting of one organisation, does not see another's rows."""
    org, other = shared.organisation(), shared.organisation()
    shared.enqueue(org)
    shared.enqueue(other)
    with shared.connect() as admin, admin.transaction():
        admin.execute("SET LOCAL ROLE recording_enqueuer")
        assert admin.execute("SELECT count(*) FROM public.call_logs").fetchone() == (0,)
        admin.execute("SELECT set_config('app.enqueue_org_id', %s, true)", (str(org),))
        assert admin.execute("SELECT DISTINCT org_id FROM public.call_logs").fetchall() == [(org,)]


def test_the_owner_of_the_tables_sees_nothing(shared: Database) -> None:
    shared.enqueue(shared.organisation())
    with shared.connect() as admin, admin.transaction():
        admin.execute("SET LOCAL ROLE recordings_owner")
        for table in TABLES:
            assert admin.execute(f"SELECT count(*) FROM public.{table}").fetchone() == (0,), table


def test_the_audit_log_is_append_only_even_for_the_administrator(shared: Database) -> None:
    shared.run("INSERT INTO audit_log (actor, action) VALUES ('t', 't')")
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            shared.run(statement)


@pytest.mark.parametrize("login", LOGINS)
def test_no_runtime_login_is_refused_as_unsafe(shared: Database, login: str) -> None:
    refuse_unsafe_login(shared.url(login), wanted=login)


def test_a_superuser_a_bypassing_login_and_an_owner_are_refused_with_what_to_use_instead(shared: Database) -> None:
    tag = uuid4().hex[:8]
    with shared.connect() as admin:
        admin.execute(f"CREATE ROLE bypass_{tag} LOGIN BYPASSRLS PASSWORD 'pw'")
        admin.execute(f"CREATE ROLE member_{tag} LOGIN PASSWORD 'pw' IN ROLE bypass_{tag}")
        admin.execute(f"CREATE ROLE owner_{tag} LOGIN PASSWORD 'pw' IN ROLE recordings_owner")
    for login, why in (
        ("postgres", "superuser"),
        (f"bypass_{tag}", "BYPASSRLS"),
        (f"member_{tag}", "may become so"),
        (f"owner_{tag}", "owns the tables"),
    ):
        password = shared.passwords.get(login, "pw")
        url = shared.postgres.url(user=login, password=password, database=shared.name)
        with pytest.raises(UnsafeLoginError, match=why) as refused:
            refuse_unsafe_login(url, wanted="recording_worker")
        assert "recording_worker" in str(refused.value)
        assert password not in str(refused.value)


def test_an_unknown_organisation_is_told_from_a_foreign_one_by_nobody_but_the_call_handler(shared: Database) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="no organisation has the id"):
        shared.enqueue(UUID(int=1))

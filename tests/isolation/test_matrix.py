"""The matrix of isolation: it holds, leaves nothing behind, and notices each thing that the system before did wrong."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from schema.isolation import CannotAsk, Report, verify
from schema.isolation.planting import TABLES
from schema.isolation.rights import ROLES
from tests.database import Database

#: Sequences are not among them: a number that was tried and undone is a gap.
REMAINS = (
    "SELECT count(*) FROM pg_roles",
    "SELECT count(*) FROM pg_auth_members",
    "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'",
    *(f"SELECT count(*) FROM {table.name}" for table in TABLES),
)


@pytest.fixture(scope="module")
def deployment(template: Database) -> Iterator[Database]:
    """Not by way of a pooler: the administrator comes straight."""
    database = template.copy()
    yield database
    database.drop()


@pytest.fixture(scope="module")
def admin(deployment: Database) -> Iterator[psycopg.Connection[Any]]:
    """A deployment at work: rows of organisations of its own in every table that calls fill."""
    for _ in range(3):
        org = deployment.organisation()
        for _ in range(40):
            deployment.enqueue(org)
        deployment.run("INSERT INTO leads (org_id, name) SELECT %s, 'n' FROM generate_series(1, 80)", org)
        deployment.run("INSERT INTO audit_log (org_id, actor, action) VALUES (%s, 'a', 'b'), (NULL, 'a', 'b')", org)
    with psycopg.connect(deployment.url()) as connection:
        yield connection


@pytest.fixture(scope="module")
def report(deployment: Database, admin: psycopg.Connection[Any]) -> Report:
    return verify(admin)


def wrong(report: Report) -> list[str]:
    return [
        f"{one.cell.role} {one.cell.table} {one.cell.operation} [{one.cell.context}] {one.cell.expected} != {one.seen}"
        for one in report.wrong
    ]


def named(report: Report) -> set[tuple[str, str]]:
    return {(one.cell.role, one.cell.table) for one in report.leaks}


def test_every_cell_is_as_it_was_promised_in_a_database_at_work(report: Report) -> None:
    assert wrong(report) == []
    assert report.ok
    assert report.leaks == ()


def test_there_are_thousands_of_cells_of_every_role_on_every_table_and_no_two_alike(report: Report) -> None:
    cells = [one.cell for one in report.cells]
    asked = {(cell.role, cell.table) for cell in cells}
    assert len(cells) > 5000
    assert len({(cell.role, cell.table, cell.operation, cell.context) for cell in cells}) == len(cells)
    assert {(role.name, table.name) for role in ROLES for table in TABLES} <= asked


def test_every_refusal_has_its_reason(report: Report) -> None:
    for one in report.cells:
        given = one.cell.context in {"own", "none"} and str(one.cell.expected) != "nothing"
        assert one.cell.reason or given, one.cell


def test_nothing_remains(deployment: Database, admin: psycopg.Connection[Any], report: Report) -> None:
    before = [deployment.one(query) for query in REMAINS]
    verify(admin, roles=["recording_worker", "stranger", "administrator"])
    assert [deployment.one(query) for query in REMAINS] == before
    assert admin.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert admin.execute("SELECT current_setting('app.task_grant', true)").fetchone() in [("",), (None,)]
    admin.rollback()


def test_a_caller_s_transaction_is_left_as_it_was(deployment: Database) -> None:
    with psycopg.connect(deployment.url()) as connection:
        connection.execute("CREATE TEMPORARY TABLE kept (x integer)")
        assert verify(connection, tables=["leads"]).ok
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_tables_and_roles_ask_what_concerns_them(admin: psycopg.Connection[Any]) -> None:
    some = verify(admin, tables=["leads", "public.agents"], roles=["authenticated"])
    asked = {(one.cell.role, one.cell.table) for one in some.cells[1:]}
    assert asked == {("authenticated", "public.leads"), ("authenticated", "public.agents")}


def test_the_first_wrong_cell_ends_it(admin: psycopg.Connection[Any]) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute("ALTER TABLE leads NO FORCE ROW LEVEL SECURITY")
        found = verify(admin, first_wrong=True)
    assert len(found.wrong) == 1
    assert found.cells[-1] == found.wrong[0]


def test_context_that_a_session_keeps_is_a_leak_into_the_next_transaction(deployment: Database) -> None:
    org = deployment.one("SELECT org_id FROM leads LIMIT 1")
    with psycopg.connect(deployment.url()) as connection:
        claims = json.dumps({"app_metadata": {"org_id": str(org)}})
        connection.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims,))
        connection.commit()
        found = verify(connection, tables=["leads"], roles=["authenticated"])
    assert {one.cell.context for one in found.leaks} == {"left over"}


@pytest.mark.parametrize("login", ["recording_ops", "recording_worker", "authenticator"])
def test_a_login_that_is_not_the_administrator_s_cannot_ask_and_is_told_so(deployment: Database, login: str) -> None:
    with psycopg.connect(deployment.url(login)) as connection, pytest.raises(CannotAsk, match="administrator's"):
        verify(connection)


def test_a_role_that_cannot_be_taken_on_is_named_with_what_to_do(deployment: Database) -> None:
    name = f"admin_{uuid4().hex[:8]}"
    with deployment.connect() as superuser:
        superuser.execute(f"CREATE ROLE {name} LOGIN CREATEROLE BYPASSRLS PASSWORD 'pw'")
        superuser.execute(f"GRANT CREATE ON DATABASE {deployment.name} TO {name}")
    try:
        url = deployment.postgres.url(user=name, password="pw", database=deployment.name)
        with psycopg.connect(url) as connection, pytest.raises(CannotAsk, match=r"cannot act as authenticated.*GRANT"):
            verify(connection)
    finally:
        with deployment.connect() as superuser:
            superuser.execute(f"REVOKE CREATE ON DATABASE {deployment.name} FROM {name}")
            superuser.execute(f"DROP ROLE {name}")


def test_a_database_without_our_schema_is_told_so(deployment: Database) -> None:
    with psycopg.connect(deployment.postgres.url(database="postgres")) as connection:
        with pytest.raises(CannotAsk, match="recordings migrate"):
            verify(connection)


def test_a_table_or_a_function_that_the_matrix_does_not_know_is_wrong(admin: psycopg.Connection[Any]) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute("CREATE VIEW public.calls_of_all AS SELECT * FROM public.call_logs")
        admin.execute("SET LOCAL ROLE recordings_owner")
        admin.execute("CREATE TABLE app.forgotten (org_id uuid)")
        admin.execute("CREATE FUNCTION app.forgotten() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
        admin.execute("RESET ROLE")
        found = verify(admin, roles=["administrator"], tables=["tables", "functions"])
    said = [f"{one.cell.table}: {one.seen}" for one in found.leaks]
    assert len(said) == 2
    assert "app.forgotten" in said[0]
    assert "public.calls_of_all" in said[0]
    assert "app.forgotten" in said[1]


# What the system before this one did ---------------------------------------------------------------------------------

CLAIM = """
CREATE OR REPLACE FUNCTION public.auth_org_id() RETURNS uuid LANGUAGE sql STABLE SET search_path = '' AS
$$ SELECT nullif(current_setting('request.jwt.claims', true)::jsonb #>> '{%s}', '')::uuid $$
"""
OWN = "org_id = (SELECT public.auth_org_id())"
MOVE = "CREATE TRIGGER refuse_org_change BEFORE UPDATE ON {0} FOR EACH ROW WHEN ({1}) EXECUTE FUNCTION {2}()"
UNTIL_NULL = MOVE.format(
    "leads",
    "OLD.org_id IS NOT NULL AND NEW.org_id IS NOT NULL AND OLD.org_id <> NEW.org_id",
    "app.refuse_org_change",
)

BEFORE = {
    "rows of no organisation are shown to everybody": (
        "administrator",
        "public.leads",
        "ALTER TABLE leads ALTER org_id DROP NOT NULL",
        f"ALTER POLICY own_organization ON leads USING ({OWN} OR org_id IS NULL)",
    ),
    "rows of no organisation may be written": (
        "authenticated",
        "public.leads",
        f"ALTER POLICY own_organization ON leads WITH CHECK ({OWN} OR org_id IS NULL)",
    ),
    "a policy for the service role names no role": (
        "authenticated",
        "public.recording_upload_metrics",
        'CREATE POLICY "Service role can manage" ON recording_upload_metrics USING (true)',
    ),
    "the organisation comes from user_metadata": (
        "authenticated",
        "public.call_logs",
        CLAIM % "user_metadata,org_id",
    ),
    "the organisation comes from user_metadata where app_metadata has none": (
        "authenticated",
        "public.call_logs",
        CLAIM.replace(
            "SELECT nullif",
            "SELECT coalesce(current_setting('request.jwt.claims', true)::jsonb #>> '{app_metadata,org_id}', nullif",
        ).replace("'')::uuid", "''))::uuid")
        % "user_metadata,org_id",
    ),
    "the organisation is a claim of its own": ("authenticated", "public.call_logs", CLAIM % "org_id"),
    "a row moves by way of NULL": (
        "administrator",
        "public.leads",
        "ALTER TABLE leads ALTER org_id DROP NOT NULL",
        "DROP TRIGGER refuse_org_change ON leads",
        UNTIL_NULL,
    ),
    "a plain foreign key takes another organisation's call": (
        "administrator",
        "public.recording_downloads",
        "ALTER TABLE recording_downloads DROP CONSTRAINT recording_downloads_org_id_call_id_fkey",
        "ALTER TABLE recording_downloads ADD FOREIGN KEY (call_id) REFERENCES call_logs (id)",
    ),
    "credentials are readable": (
        "authenticated",
        "public.integrations",
        "GRANT SELECT (sealed_credentials) ON integrations TO authenticated",
    ),
    "a policy FOR ALL is left over, and with it users change the queue": (
        "authenticated",
        "public.recording_upload_queue",
        "GRANT SELECT, INSERT, UPDATE ON recording_upload_queue TO authenticated",
        f"CREATE POLICY recording_upload_queue_org_policy ON recording_upload_queue TO authenticated USING ({OWN})",
    ),
    "no table is forced": ("recordings_owner", "public.call_logs", "ALTER TABLE call_logs NO FORCE ROW LEVEL SECURITY"),
    "row-level security is off": (
        "authenticated",
        "public.call_logs",
        "ALTER TABLE call_logs DISABLE ROW LEVEL SECURITY",
    ),
    "the backend bypasses row-level security": (
        "recording_worker",
        "public.call_logs",
        "ALTER ROLE recording_worker BYPASSRLS",
    ),
    "the backend's policy is true": (
        "recording_worker",
        "public.call_logs",
        "ALTER POLICY granted_organization ON call_logs USING (true)",
    ),
    "the anonymous may call what acts as its owner": (
        "anon",
        "public.enqueue_recording",
        "GRANT EXECUTE ON FUNCTION enqueue_recording TO PUBLIC",
    ),
    "a provider's id is unique across organisations": (
        "administrator",
        "every table",
        "DELETE FROM failed_recording_uploads",
        "CREATE UNIQUE INDEX ON agents (provider, provider_agent_id)",
    ),
    "another's failure shows in the refusal": (
        "recording_worker",
        "public.failed_recording_uploads",
        "CREATE UNIQUE INDEX ON failed_recording_uploads (upload_id) WHERE resolved_at IS NULL",
    ),
    "a link is for every colleague": (
        "authenticated",
        "public.recording_downloads",
        f"ALTER POLICY own_request ON recording_downloads USING ({OWN})",
    ),
}


@pytest.mark.parametrize("bug", BEFORE)
def test_what_the_system_before_did_wrong_would_be_found(admin: psycopg.Connection[Any], bug: str) -> None:
    role, table, *statements = BEFORE[bug]
    with admin.transaction(force_rollback=True):
        for statement in statements:
            admin.execute(statement)
        found = verify(admin, tables=[table], roles=[role])
    assert (role, table) in named(found), wrong(found)


def test_a_policy_that_compares_with_the_user_is_too_strict_and_no_leak(admin: psycopg.Connection[Any]) -> None:
    """As the first version of the old one did: it matched no organisation at all."""
    with admin.transaction(force_rollback=True):
        admin.execute("ALTER POLICY own_organization ON leads USING (org_id = (SELECT public.auth_user_id()))")
        found = verify(admin, tables=["leads"], roles=["authenticated"])
    (selected,) = (one for one in found.cells if (one.cell.operation, one.cell.context) == ("SELECT", "own"))
    assert not found.ok
    assert not selected.ok
    assert not selected.is_leak

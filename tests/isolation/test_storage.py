"""Who may see and do what with sweeps and what they found."""

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from workers.storage_report import request_sweep

TABLES = ("sweeps", "storage_findings")


@pytest.fixture
def two(shared: Database) -> tuple[UUID, UUID]:
    """Two organisations, each with a sweep and a finding."""
    orgs = shared.organisation(), shared.organisation()
    for org in orgs:
        shared.run("INSERT INTO app.sweeps (org_id, rung_at) VALUES (%s, now())", org)
        shared.run(
            "INSERT INTO app.storage_findings (org_id, object_key, code, action) "
            "VALUES (%s, %s, 'object_unknown', 'reported')",
            org,
            f"{org}/x",
        )
    return orgs


@pytest.mark.parametrize("table", TABLES)
def test_row_level_security_is_on_and_forced_and_rows_stay_with_their_organisation(
    shared: Database, two: tuple[UUID, UUID], table: str
) -> None:
    assert shared.one(
        "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", f"app.{table}"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="cannot be changed"):
        shared.run(f"UPDATE app.{table} SET org_id = %s WHERE org_id = %s", shared.organisation(), two[0])


@pytest.mark.parametrize("table", TABLES)
def test_a_worker_sees_and_changes_those_of_its_grant_and_none_without(
    shared: Database, two: tuple[UUID, UUID], table: str
) -> None:
    change = {"sweeps": "claimed_at = now()", "storage_findings": "last_seen_at = now()"}[table]
    with shared.connect("recording_worker") as worker:
        for statement in (f"SELECT org_id FROM app.{table}", f"UPDATE app.{table} SET {change}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)
        with worker.transaction():
            worker.execute("SELECT set_config('app.task_grant', %s, true)", (shared.grant(two[0]),))
            assert worker.execute(f"SELECT org_id FROM app.{table}").fetchall() == [(two[0],)]
            assert worker.execute(f"UPDATE app.{table} SET {change} RETURNING org_id").fetchall() == [(two[0],)]


def test_a_worker_can_find_nothing_for_another_organisation(shared: Database, two: tuple[UUID, UUID]) -> None:
    with shared.connect("recording_worker") as worker, worker.transaction(force_rollback=True):
        worker.execute("SELECT set_config('app.task_grant', %s, true)", (shared.grant(two[0]),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute(
                "INSERT INTO app.storage_findings (org_id, object_key, code, action) "
                "VALUES (%s, 'k', 'object_missing', 'reported')",
                (two[1],),
            )


def test_operators_see_those_of_every_organisation(shared: Database, two: tuple[UUID, UUID]) -> None:
    with shared.connect("recording_ops") as operator:
        for table in TABLES:
            rows = operator.execute(f"SELECT org_id FROM app.{table}").fetchall()
            assert set(two) <= {org for (org,) in rows}


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        ("recording_ops", "UPDATE app.sweeps SET requested_at = now()"),
        ("recording_ops", "UPDATE app.storage_findings SET resolved_at = now()"),
        ("recording_ops", "DELETE FROM app.storage_findings"),
        ("recording_dispatcher", "SELECT object_key FROM app.storage_findings"),
        ("recording_dispatcher", "SELECT reached_key FROM app.sweeps"),
        ("recording_dispatcher", "UPDATE app.sweeps SET claimed_at = now()"),
        ("recording_dispatcher", "DELETE FROM app.sweeps"),
        ("recording_worker", "UPDATE app.sweeps SET rung_at = now()"),
        ("recording_worker", "DELETE FROM app.storage_findings"),
        ("recording_worker", "SELECT public.request_storage_sweep(gen_random_uuid(), 'r')"),
        ("recording_dispatcher", "SELECT public.request_storage_sweep(gen_random_uuid(), 'r')"),
        ("call_handler", "SELECT public.request_storage_sweep(gen_random_uuid(), 'r')"),
        ("authenticator", "SELECT public.request_storage_sweep(gen_random_uuid(), 'r')"),
        ("call_handler", "SELECT FROM app.storage_findings"),
        ("authenticator", "SELECT FROM app.storage_findings"),
    ],
)
def test_each_login_may_do_its_own_and_no_more(shared: Database, login: str, statement: str) -> None:
    with shared.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("role", ["authenticated", "anon"])
def test_users_do_not_come_near_them(shared: Database, role: str) -> None:
    statements = (
        "SELECT FROM app.storage_findings",
        "SELECT FROM app.sweeps",
        "SELECT public.request_storage_sweep(gen_random_uuid(), 'r')",
    )
    with shared.connect() as admin:
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
                admin.execute(f"SET LOCAL ROLE {role}")
                admin.execute(statement)


def test_a_request_is_written_down_with_who_and_why(shared: Database) -> None:
    org = shared.organisation()
    with shared.connect("recording_ops") as operator:
        asked = request_sweep(operator, org, "  a customer asked ", "ada")
    assert shared.one("SELECT requested_at FROM app.sweeps WHERE org_id = %s", org) == asked
    written = shared.all("SELECT actor, action, reason, detail FROM audit_log WHERE org_id = %s", org)
    assert written == [("recording_ops", "sweep_requested", "a customer asked", {"unverified_actor": "ada"})]


@pytest.mark.parametrize(("reason", "complaint"), [(" ", "reason must be"), ("x" * 501, "reason must be")])
def test_a_request_without_a_reason_is_refused(shared: Database, reason: str, complaint: str) -> None:
    with (
        shared.connect("recording_ops") as operator,
        pytest.raises(psycopg.errors.InvalidParameterValue, match=complaint),
    ):
        request_sweep(operator, shared.organisation(), reason, "ada")


def test_a_request_for_no_organisation_or_a_suspended_one_is_refused(shared: Database) -> None:
    suspended = shared.organisation()
    shared.run("UPDATE organizations SET status = 'suspended' WHERE id = %s", suspended)
    with shared.connect("recording_ops") as operator:
        for org in (uuid4(), suspended):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match="no active organisation"):
                request_sweep(operator, org, "r", "ada")


def test_the_requester_s_role_touches_the_organisation_that_is_named_and_no_other(
    shared: Database, two: tuple[UUID, UUID]
) -> None:
    with shared.connect() as admin, admin.transaction():
        admin.execute("SET LOCAL ROLE recording_sweep_requester")
        assert admin.execute("SELECT count(*) FROM app.sweeps").fetchone() == (0,)
        admin.execute("SELECT set_config('app.named_org_id', %s, true)", (str(two[0]),))
        assert admin.execute("SELECT org_id FROM app.sweeps").fetchall() == [(two[0],)]

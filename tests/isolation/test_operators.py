"""What the operators' login may do: read failures of every organisation, and call these functions. Nothing else."""

from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest

from schema.roles import LOGINS
from tests.database import Database
from tests.isolation.test_grants import TABLES

FUNCTIONS = [
    "announce_integration(uuid,text,text)",
    "announced_integration(uuid,bigint)",
    "assign_unclaimed_call(uuid,uuid,text)",
    "discard_failed_upload(uuid,text)",
    "discard_unclaimed_call(uuid,text)",
    "erase_recording(uuid,text)",
    "remove_integration(uuid,text,text)",
    "request_storage_sweep(uuid,text)",
    "reseal_integration(uuid,text,bytea,bytea,text)",
    "retry_failed_upload(uuid,text)",
    "revoke_recording_download(uuid,text)",
    "set_integration(uuid,text,bytea,text)",
    "set_legal_hold(uuid,boolean,text)",
]
#: Where a recording comes from or lies, who called whom, what was said, what opens a provider's door.
SECRET = {"source_url", "object_key", "url", "recording_id", "sealed_credentials", "transcript", "from_number"}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("privilege", ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"])
def test_an_operator_changes_no_table_itself(shared: Database, table: str, privilege: LiteralString) -> None:
    assert not shared.one("SELECT has_table_privilege('recording_ops', %s, %s)", f"public.{table}", privilege)
    if privilege in {"INSERT", "UPDATE", "REFERENCES"}:
        assert not shared.one("SELECT has_any_column_privilege('recording_ops', %s, %s)", f"public.{table}", privilege)


def test_an_operator_may_call_these_functions_and_no_other(shared: Database) -> None:
    callable_ = shared.all(
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE pronamespace IN ('public'::regnamespace, "
        "'app'::regnamespace) AND has_function_privilege('recording_ops', p.oid, 'EXECUTE') ORDER BY 1"
    )
    assert [name for (name,) in callable_] == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nobody_else_may_call_them(shared: Database, function: str) -> None:
    for login in [*LOGINS, "anon", "authenticated", "recordings_owner"]:
        may = shared.one("SELECT has_function_privilege(%s, %s, 'EXECUTE')", login, f"public.{function}")
        assert may == (login == "recording_ops"), login


def test_an_operator_reads_no_url_no_place_and_nothing_of_a_call(shared: Database) -> None:
    readable = shared.all(
        "SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped "
        "AND has_column_privilege('recording_ops', c.oid, a.attnum, 'SELECT')"
    )
    assert not SECRET & {column for _, column in readable}
    forbidden = {"call_logs", "leads", "knowledge_base", "agents"}
    assert not forbidden & {table for table, _ in readable}
    assert ("failed_recording_uploads", "error_code") in readable


def acting(admin: psycopg.Connection[Any], named: object) -> None:
    admin.execute("SET LOCAL ROLE recording_operator_actions")
    admin.execute("SELECT set_config('app.named_upload_id', %s, true)", (str(named) if named else "",))


def test_the_functions_role_sees_the_named_upload_and_no_other(shared: Database) -> None:
    mine, other = (shared.enqueue(shared.organisation()) for _ in range(2))
    with shared.connect() as admin, admin.transaction():
        for named, expected in ((None, []), (uuid4(), []), (mine.upload_id, [mine])):
            acting(admin, named)
            uploads = admin.execute("SELECT id FROM public.recording_upload_queue").fetchall()
            calls = admin.execute("SELECT id FROM public.call_logs").fetchall()
            assert uploads == [(one.upload_id,) for one in expected]
            assert calls == [(one.call_id,) for one in expected]
        changed = admin.execute(
            "UPDATE public.recording_upload_queue SET failures = 0 WHERE id = %s", (other.upload_id,)
        )
        assert changed.rowcount == 0


@pytest.mark.parametrize(
    "written",
    [
        {"actor": "somebody_else"},
        {"subject_id": uuid4()},
        {"action": "grant_refused"},
    ],
    ids=["actor", "subject", "action"],
)
def test_the_functions_role_cannot_write_a_false_trace(shared: Database, written: dict[str, Any]) -> None:
    org = shared.organisation()
    upload_id = shared.enqueue(org).upload_id
    row = {"org": org, "actor": "postgres", "action": "upload_retried", "subject_id": upload_id}
    statement = (
        "INSERT INTO public.audit_log (org_id, actor, action, subject_id) "
        "VALUES (%(org)s, %(actor)s, %(action)s, %(subject_id)s)"
    )
    with shared.connect() as admin:
        with admin.transaction(force_rollback=True):
            acting(admin, upload_id)
            admin.execute(statement, row)
        with admin.transaction(force_rollback=True), pytest.raises(psycopg.errors.InsufficientPrivilege):
            acting(admin, upload_id)
            admin.execute(statement, row | written)


@pytest.mark.parametrize("column", ["source_url", "object_key", "priority", "attempt"])
def test_the_functions_role_changes_neither_the_urls_nor_priority_nor_the_fence(shared: Database, column: str) -> None:
    upload_id = shared.enqueue(shared.organisation()).upload_id
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        acting(admin, upload_id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(f"UPDATE public.recording_upload_queue SET {column} = {column}")

"""The same plans where the planner believes in ten million rows of ten thousand organisations.

Ten million real rows are too slow for a test: here 40,000 are real, spread over ten thousand organisations and
analyzed, and the tables' counts are then set 250 times higher. That changes what the planner estimates, not the
pages that it sees, so a scan of the table looks cheaper to it than it would be. It was run by hand on ten million real
rows too: docs/performance-profile.md.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from tests.queue.test_plans import FENCE, PICK, STATEMENTS, explain, explain_generic, rows_read
from tests.schema.test_migrations import binaries
from workers import dispatch, progress
from workers.dispatcher import _SESSION
from workers.embedded.postgres import Postgres

_ROWS = 10_000_000
_FILL = """
WITH organisation AS (
    INSERT INTO organizations (name) SELECT 'x' FROM generate_series(1, 10000) RETURNING id
), call AS (
    INSERT INTO call_logs (org_id, provider, provider_call_id, started_at)
    SELECT id, 'https', n::text, now() - make_interval(days => n) FROM organisation, generate_series(1, 4) AS n
    RETURNING org_id, id, provider_call_id::integer AS n
)
INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url, next_attempt_at,
    status, attempt, lease_expires_at, completed_at, object_key, size_bytes, sha256)
SELECT org_id, id, 'https', n::text, 'https://provider.example/r.wav', now() - make_interval(secs => n),
    CASE n WHEN 1 THEN 'pending' WHEN 2 THEN 'processing' ELSE 'completed' END, 1,
    CASE WHEN n = 2 THEN now() + interval '1 minute' END,
    CASE WHEN n > 2 THEN now() END, CASE WHEN n > 2 THEN id::text END, CASE WHEN n > 2 THEN 1 END,
    CASE WHEN n > 2 THEN repeat('a', 64) END
FROM call
"""
_DOWNLOADS = """
INSERT INTO recording_downloads (org_id, call_id, requested_by, reason, kind, status, error_code)
SELECT org_id, id, gen_random_uuid(), 'x', 'link', 'failed', 'not_answered' FROM call_logs
WHERE provider_call_id IN ('1', '2')
"""
_BELIEVE = """
UPDATE pg_class AS c SET reltuples = c.reltuples * %s / t.reltuples FROM pg_class AS t, pg_index AS i
WHERE t.oid = %s::regclass AND i.indrelid = t.oid AND c.oid = i.indexrelid
"""
_TABLES = ("call_logs", "recording_upload_queue", "recording_downloads")


@pytest.fixture(scope="module", params=[15, 18])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp(f"large{request.param}")
    with Postgres.temporary(folder, bin_dir=binaries(request.param)) as running:
        database = Database.prepare(running)
        for statement in (_FILL, _DOWNLOADS):
            database.run(statement)
        with database.connect() as connection:
            connection.autocommit = True
            connection.execute("VACUUM ANALYZE")
            for table in _TABLES:
                # Or the counts would be mended behind our back.
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
                connection.execute(_BELIEVE, (_ROWS, table))
                connection.execute("UPDATE pg_class SET reltuples = %s WHERE oid = %s::regclass", (_ROWS, table))
        yield database


def believed(connection: psycopg.Connection[Any], table: str) -> float:
    row = connection.execute(f"EXPLAIN (FORMAT json) SELECT * FROM {table}").fetchone()
    assert row
    return float(row[0][0]["Plan"]["Plan Rows"])


def test_the_planner_believes_in_ten_million(large: Database) -> None:
    with large.connect() as connection:
        assert [believed(connection, table) for table in _TABLES] == pytest.approx([_ROWS] * 3, rel=0.2)


@pytest.mark.parametrize("together", [1, 10])
def test_the_fair_pick_is_a_chain_of_index_probes(large: Database, together: int) -> None:
    parameters = PICK | {"together": together}
    with large.connect("recording_dispatcher") as leader:
        leader.execute(_SESSION)
        found = explain(leader, dispatch._PICK, parameters)
        with leader.transaction(force_rollback=True):
            row = leader.execute("EXPLAIN (ANALYZE, FORMAT json) " + dispatch._PICK, parameters | {"window": 11_000})
            read = sum(rows_read((row.fetchone() or [])[0][0]["Plan"]))
    assert {how for how, _, _ in found} <= {"Index Scan", "Index Only Scan"}
    assert {index for _, table, index in found if table == "recording_upload_queue"} <= {
        f"recording_upload_queue_{name}" for name in ("due", "leased", "dispatched", "pkey")
    }
    # 10,000 are in work and are counted, 10,000 are due, and 1,000 of these fit.
    assert 10_000 < read < 40_000


@pytest.mark.parametrize("how", [explain, explain_generic])
@pytest.mark.parametrize(("statement", "parameters"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_a_worker_touches_rows_only_by_index(
    large: Database, statement: str, parameters: dict[str, Any], how: Callable[..., list[Any]]
) -> None:
    org_id: UUID = large.one("SELECT id FROM organizations LIMIT 1")
    with large.connect("recording_worker") as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('app.task_grant', %s, true)", (large.grant(org_id),))
        found = how(connection, statement, FENCE | parameters)
    assert any(table == "recording_upload_queue" for _, table, _ in found)
    # Not knowing how many ids a list will have, it takes them for ten and reads them by a bitmap of the same index.
    many = {"Bitmap Heap Scan", "Bitmap Index Scan"} if (how, "ids" in parameters) == (explain_generic, True) else set()
    assert {scan for scan, table, _ in found if table != "due"} <= {"Index Scan", "Index Only Scan"} | many


def test_a_worker_comes_to_plan_its_statements_once_for_all_values(large: Database) -> None:
    """Planning costs more than running them. PostgreSQL compares both plans' estimates, and would go on as it began."""
    org_id: UUID = large.one("SELECT id FROM organizations LIMIT 1")
    with large.connect("recording_worker") as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('app.task_grant', %s, true)", (large.grant(org_id),))
        for statement, parameters in STATEMENTS.values():
            for _ in range(8):
                connection.execute(statement, FENCE | parameters, prepare=True)
        prepared = "SELECT generic_plans > 0 FROM pg_prepared_statements"
        assert connection.execute(prepared, prepare=False).fetchall() == [(True,)] * (len(STATEMENTS))


@pytest.mark.parametrize("name", ["claim what is pending", "renew", "complete a first attempt", "settle"])
@pytest.mark.parametrize("how", [explain, explain_generic])
def test_a_row_is_found_alone_however_many_of_its_organisation_are_in_flight(
    large: Database, name: str, how: Callable[..., list[Any]]
) -> None:
    statement, parameters = STATEMENTS[name]
    org_id: UUID = large.one("SELECT id FROM organizations LIMIT 1")
    with large.connect("recording_worker") as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('app.task_grant', %s, true)", (large.grant(org_id),))
        found = how(connection, statement, FENCE | parameters)
    keys = {"recording_upload_queue_pkey", "recording_upload_queue_org_id_id_key"}
    assert {index for _, table, index in found if table == "recording_upload_queue"} <= keys


def test_status_counts_by_indexes_and_reads_no_row(large: Database) -> None:
    with large.connect("recording_ops") as ops:
        found = explain(ops, progress._BY_ORGANISATION, {})
    on_queue = {(how, index) for how, table, index in found if table == "recording_upload_queue"}
    assert {how for how, _ in on_queue} == {"Index Only Scan"}
    unsettled = {"due", "leased", "failed"}
    # Whichever has every row: here they are much the same size.
    history = {"org_id_id_key", "call", "org_id_provider_recording_id_key"}
    names = {str(index).removeprefix("recording_upload_queue_") for _, index in on_queue}
    assert names > unsettled
    assert names - unsettled <= history


LISTS = {
    "the newest calls": (
        "SELECT id, started_at, recording_status FROM call_logs ORDER BY started_at DESC LIMIT 50",
        "call_logs_org_id_started_at",
    ),
    "the calls of a day": (
        "SELECT id, started_at FROM call_logs WHERE started_at > now() - interval '1 day' ORDER BY started_at DESC",
        "call_logs_org_id_started_at",
    ),
    "an organisation's downloads": (
        "SELECT id, status FROM recording_downloads ORDER BY created_at DESC LIMIT 50",
        "recording_downloads_requested_by",
    ),
}


@pytest.mark.parametrize(("query", "index"), LISTS.values(), ids=LISTS.keys())
def test_a_users_list_begins_with_the_organisation_in_an_index(large: Database, query: str, index: str) -> None:
    org_id: UUID = large.one("SELECT id FROM organizations LIMIT 1")
    claims = json.dumps({"sub": str(uuid4()), "role": "authenticated", "app_metadata": {"org_id": str(org_id)}})
    with large.connect("authenticator") as connection:
        connection.execute("SELECT set_config('role', 'authenticated', false)")
        connection.execute("SELECT set_config('request.jwt.claims', %s, false)", (claims,))
        found = explain(connection, query, {})
    # A bitmap of the organisation's entries in that index, too: so few pages are soon read.
    assert {how for how, _, _ in found} <= {"Index Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}
    assert {used for _, _, used in found if used} == {index}

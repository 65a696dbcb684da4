"""How the hot statements find their rows, with a history behind them. Plans, not times: those differ by machine."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database import Database
from workers import claim, dispatch, queue
from workers.dispatch import NOBODY
from workers.dispatcher import _SESSION

_TABLE = "recording_upload_queue"
# 200 organisations with 500 rows each, of which 60 are pending and 2 in work.
_FILL = """
WITH organisation AS (
    INSERT INTO organizations (name) SELECT 'x' FROM generate_series(1, 200) RETURNING id
), call AS (
    INSERT INTO call_logs (org_id, provider, provider_call_id) SELECT id, 'https', 'c' FROM organisation
    RETURNING org_id, id
)
INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url, priority, next_attempt_at,
    status, attempt, lease_expires_at, completed_at, object_key, size_bytes, sha256)
SELECT org_id, id, 'https', n::text, 'https://provider.example/r.wav', n %% 10,
    now() + make_interval(secs => n %% 120 - 60),
    CASE WHEN n <= 2 THEN 'processing' WHEN n <= 62 THEN 'pending' ELSE 'completed' END, 1,
    CASE WHEN n <= 2 THEN now() + make_interval(secs => n * 20 - 30) END,
    CASE WHEN n > 62 THEN now() END, CASE WHEN n > 62 THEN 'k' END, CASE WHEN n > 62 THEN 1 END,
    CASE WHEN n > 62 THEN repeat('a', 64) END
FROM call, generate_series(1, 500) AS n
"""


# One of them has a backlog, which the statistics do not know of.
_BACKLOG = """
INSERT INTO recording_upload_queue (org_id, call_id, provider, recording_id, source_url)
SELECT org_id, id, 'https', 'backlog' || n, 'https://provider.example/r.wav'
FROM (SELECT org_id, id FROM call_logs ORDER BY org_id LIMIT 1) AS call, generate_series(1, 20000) AS n
"""


@pytest.fixture(scope="module")
def full(template: Database) -> Iterator[Database]:
    database = template.copy()
    database.run(_FILL)
    with database.connect() as connection:
        connection.execute("VACUUM ANALYZE")
    database.run(_BACKLOG)
    yield database
    database.drop()


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str, str | None]]:
    """Each node that reads the queue or what hangs on it: how, what, by which index."""
    if "Relation Name" in plan and "Scan" in plan["Node Type"]:
        yield plan["Node Type"], plan["Relation Name"], plan.get("Index Name")
    for inner in plan.get("Plans", ()):
        if inner["Node Type"] == "Bitmap Index Scan":
            yield inner["Node Type"], plan["Relation Name"], inner["Index Name"]
        yield from scans(inner)


def explain(connection: psycopg.Connection[Any], statement: str, parameters: dict[str, Any]) -> list[Any]:
    row = connection.execute("EXPLAIN (FORMAT json) " + statement, parameters).fetchone()
    assert row
    return sorted(set(scans(row[0][0]["Plan"])))


def explain_generic(connection: psycopg.Connection[Any], statement: str, parameters: dict[str, Any]) -> list[Any]:
    """As PostgreSQL plans it once for all values, which is how a worker's connection runs it from the tenth time on."""
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.execute(statement, parameters, prepare=True)
    prepared = (
        "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements ORDER BY prepare_time DESC LIMIT 1"
    )
    (name, count), *_ = connection.execute(prepared, prepare=False).fetchall()
    query = f"EXPLAIN (FORMAT json) EXECUTE {name} ({', '.join(['NULL'] * count)})"
    (plan,), *_ = connection.execute(query, prepare=False).fetchall()
    return sorted(set(scans(plan[0]["Plan"])))


PICK: dict[str, Any] = {"after": NOBODY, "window": 128, "cap": 32, "expires": timedelta(seconds=30), "together": 10}


@pytest.fixture
def leader(full: Database) -> Iterator[psycopg.Connection[Any]]:
    with full.connect("recording_dispatcher") as connection:
        connection.execute(_SESSION)
        yield connection


def test_the_fair_pick_reads_the_queue_by_its_indexes_of_unsettled_rows(leader: psycopg.Connection[Any]) -> None:
    found = explain(leader, dispatch._PICK, PICK)
    on_queue = [(how, index) for how, table, index in found if table == _TABLE]
    assert {how for how, _ in on_queue} <= {"Index Scan", "Index Only Scan"}
    assert {index for _, index in on_queue} <= {
        f"{_TABLE}_due",
        f"{_TABLE}_leased",
        f"{_TABLE}_dispatched",
        f"{_TABLE}_pkey",
    }


def rows_read(plan: dict[str, Any]) -> Iterator[float]:
    if plan.get("Relation Name") == _TABLE and "Scan" in plan["Node Type"]:
        yield (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for inner in plan.get("Plans", ()):
        yield from rows_read(inner)


def test_the_fair_pick_reads_as_many_rows_as_it_may_pick_not_as_many_as_wait(leader: psycopg.Connection[Any]) -> None:
    with leader.transaction(force_rollback=True):
        row = leader.execute("EXPLAIN (ANALYZE, FORMAT json) " + dispatch._PICK, PICK).fetchone()
    assert row
    # 120,000 rows, 12,000 of them pending and 20,000 in one backlog.
    assert 128 < sum(rows_read(row[0][0]["Plan"])) < 6000


FENCE: dict[str, Any] = {"id": uuid4(), "attempt": 1}
SETTLED = {"queue_ms": 1, "total_ms": 1}
CLAIM = {
    "worker": "w",
    "claim_id": UUID(int=1),
    "lease": timedelta(seconds=60),
    "lost_message": "x",
    "accounts": ["vapi"],
}
COMPLETE = (
    SETTLED
    | {"object_key": "k", "size_bytes": 1, "sha256": "a" * 64, "content_type": "x", "format": "wav"}
    | {"fetch_ms": 1, "store_ms": 1}
)
STATEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "claim what is pending": (claim.PENDING, CLAIM),
    "claim": (claim.DUE, CLAIM),
    "give back": (queue._GIVE_BACK, {"ids": [UUID(int=1), UUID(int=2)]}),
    "renew": (queue._RENEW, {"lease": timedelta(seconds=60)}),
    "complete a first attempt": (queue._COMPLETE_FIRST, COMPLETE),
    "complete": (queue._COMPLETE, COMPLETE),
    "settle": (
        queue._SETTLE,
        SETTLED
        | {"status": "failed", "outcome": "given_up", "cost": 1, "at": None, "code": "empty", "message": "x"}
        | {"worker": "w"},
    ),
}


@pytest.mark.parametrize("how", [explain, explain_generic])
@pytest.mark.parametrize(("statement", "parameters"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_a_worker_touches_rows_only_by_index(
    full: Database, statement: str, parameters: dict[str, Any], how: Callable[..., list[Any]]
) -> None:
    org_id: UUID = full.one("SELECT id FROM organizations LIMIT 1")
    with full.connect("recording_worker") as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('app.task_grant', %s, true)", (full.grant(org_id),))
        found = how(connection, statement, FENCE | parameters)
    tables = {"recording_upload_queue", "call_logs", "integrations", "failed_recording_uploads"}
    read = [(how, table) for how, table, _ in found if table in tables]
    assert any(table == _TABLE for _, table in read)
    assert not [(how, table) for how, table in read if how == "Seq Scan"]
    assert {how for how, table in read if table == _TABLE} <= {"Index Scan", "Index Only Scan"}

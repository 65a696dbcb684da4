"""Users: their own organisation, by the claims of a verified token, and nothing by anything else."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from schema.tenancy import user_transaction
from tests.database import Database

READABLE = [
    "organizations",
    "agents",
    "leads",
    "knowledge_base",
    "inbound_agent_config",
    "call_logs",
    "failed_recording_uploads",
    "recording_upload_metrics",
]


def of(org_id: object) -> dict[str, Any]:
    return {"sub": str(uuid4()), "role": "authenticated", "app_metadata": {"org_id": org_id}}


@pytest.fixture(scope="module")
def two(shared: Database) -> tuple[UUID, UUID]:
    """Organisations A and B with a row in every table that users read."""
    made = shared.organisation("A"), shared.organisation("B")
    for org in made:
        enqueued = shared.enqueue(org)
        shared.run("INSERT INTO agents (org_id, name) VALUES (%s, 'n')", org)
        shared.run("INSERT INTO leads (org_id, name) VALUES (%s, 'n')", org)
        shared.run("INSERT INTO knowledge_base (org_id, filename, content) VALUES (%s, 'f', 'c')", org)
        shared.run("INSERT INTO inbound_agent_config (org_id) VALUES (%s)", org)
        shared.run("INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, 'vapi', 'x')", org)
        row = (org, enqueued.call_id, enqueued.upload_id)
        shared.run(
            "INSERT INTO failed_recording_uploads (org_id, call_id, upload_id, error_code, error_message) "
            "VALUES (%s, %s, %s, 'x', 'x')",
            *row,
        )
        shared.run(
            "INSERT INTO recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome) "
            "VALUES (%s, %s, %s, 1, 'completed')",
            *row,
        )
    return made


@pytest.mark.parametrize("table", READABLE)
def test_a_user_reads_their_own_organisation_only(shared: Database, two: tuple[UUID, UUID], table: str) -> None:
    column = "id" if table == "organizations" else "org_id"
    with user_transaction(shared.engine("authenticator"), of(str(two[0]))) as connection:
        assert connection.scalars(text(f"SELECT DISTINCT {column} FROM {table}")).all() == [two[0]]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "u"},
        {"app_metadata": None},
        {"app_metadata": {}},
        of(""),
        of("everyone"),
        of(None),
        of(["a"]),
        {"user_metadata": {"org_id": "A"}},
        {"org_id": "A"},
        {"app_metadata": '{"org_id": "A"}'},
        {"app_metadata": [{"org_id": "A"}]},
    ],
)
def test_claims_that_name_no_organisation_show_no_rows(
    shared: Database, two: tuple[UUID, UUID], claims: dict[str, Any]
) -> None:
    """The letter A stands for the id of a real organisation: in the wrong place it is worth nothing."""
    real = json.loads(json.dumps(claims).replace('"A"', f'"{two[0]}"').replace('\\"A\\"', f'\\"{two[0]}\\"'))
    with user_transaction(shared.engine("authenticator"), real) as connection:
        for table in READABLE:
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table


def test_malformed_claims_show_no_rows(shared: Database, two: tuple[UUID, UUID]) -> None:
    with shared.engine("authenticator").begin() as connection:
        connection.execute(text("SET LOCAL ROLE authenticated"))
        for claims in ("", "{", "null", "[]", '"x"', "1"):
            connection.execute(text("SELECT set_config('request.jwt.claims', :claims, true)"), {"claims": claims})
            assert connection.scalar(text("SELECT count(*) FROM call_logs")) == 0


def test_nobody_signed_in_may_ask_at_all(shared: Database, two: tuple[UUID, UUID]) -> None:
    for table in [*READABLE, "recording_upload_queue", "integrations", "recording_downloads", "audit_log"]:
        with pytest.raises(Exception, match="permission denied"):
            with user_transaction(shared.engine("authenticator"), None) as connection:
                connection.execute(text(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT source_url FROM recording_upload_queue",
        "SELECT worker FROM recording_upload_queue",
        "SELECT sealed_credentials FROM integrations",
        "SELECT * FROM audit_log",
        "SELECT * FROM app.grant_keys",
        "INSERT INTO recording_upload_queue (org_id) VALUES (NULL)",
        "UPDATE recording_upload_queue SET status = 'pending'",
        "UPDATE call_logs SET recording_key = 'x'",
        "DELETE FROM call_logs",
        "INSERT INTO recording_downloads (org_id) VALUES (NULL)",
        "UPDATE organizations SET name = 'x'",
        "SELECT * FROM enqueue_recording(NULL, 'https', 'c', 'https://x.example/')",
        "SELECT app.task_org_id()",
    ],
)
def test_what_users_have_no_business_with_is_refused(shared: Database, two: tuple[UUID, UUID], statement: str) -> None:
    with pytest.raises(Exception, match="permission denied"):
        with user_transaction(shared.engine("authenticator"), of(str(two[0]))) as connection:
            connection.execute(text(statement))


def test_users_write_in_their_own_organisation_and_nowhere_else(shared: Database, two: tuple[UUID, UUID]) -> None:
    org, other = two
    engine = shared.engine("authenticator")
    add = text("INSERT INTO leads (org_id, name) VALUES (:org, 'new')")
    with user_transaction(engine, of(str(org))) as connection:
        connection.execute(add, {"org": org})
        assert connection.execute(text("UPDATE leads SET name = 'x' WHERE org_id = :o"), {"o": other}).rowcount == 0
        assert connection.execute(text("DELETE FROM leads WHERE org_id = :o"), {"o": other}).rowcount == 0
    for statement in ("INSERT INTO leads (org_id, name) VALUES (:o, 'n')", "UPDATE leads SET org_id = :o"):
        with pytest.raises(Exception, match=r"row-level security|cannot be changed"):
            with user_transaction(engine, of(str(org))) as connection:
                connection.execute(text(statement), {"o": other})


def test_the_claims_end_with_the_transaction(shared: Database, two: tuple[UUID, UUID]) -> None:
    engine = shared.engine("authenticator", poolclass=QueuePool, pool_size=1, max_overflow=0)
    try:
        with user_transaction(engine, of(str(two[0]))) as connection:
            assert connection.scalar(text("SELECT count(*) FROM call_logs")) == 1
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT current_user")) == "authenticator"
            assert connection.scalar(text("SELECT current_setting('request.jwt.claims', true)")) in ("", None)
            with pytest.raises(Exception, match="permission denied"):
                connection.execute(text("SELECT * FROM call_logs"))
    finally:
        engine.dispose()


def test_a_download_link_is_for_the_one_who_asked(shared: Database, two: tuple[UUID, UUID]) -> None:
    org, _ = two
    asked, colleague = of(str(org)), of(str(org))
    call = shared.one("SELECT id FROM call_logs WHERE org_id = %s", org)
    shared.run(
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason) VALUES (%s, %s, %s, 'why')",
        org,
        call,
        asked["sub"],
    )
    for claims, seen in ((asked, 1), (colleague, 0)):
        with user_transaction(shared.engine("authenticator"), claims) as connection:
            assert connection.scalar(text("SELECT count(*) FROM recording_downloads")) == seen

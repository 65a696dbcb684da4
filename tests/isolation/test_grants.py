"""Law 2: a worker sees rows only while its transaction holds a grant that the database itself has verified."""

import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from schema import grant_keys
from schema.tenancy import run_as_task, task_transaction
from tests.database import Database
from workers.grants import GrantKey, mint

TABLES = [
    "organizations",
    "agents",
    "leads",
    "knowledge_base",
    "inbound_agent_config",
    "integrations",
    "call_logs",
    "recording_upload_queue",
    "failed_recording_uploads",
    "recording_upload_metrics",
    "recording_downloads",
    "recording_exports",
    "recording_renditions",
    "audit_log",
]


def claims(org: UUID, /, **changes: object) -> dict[str, object]:
    now = int(time.time())
    base = {"sub": str(uuid4()), "aud": "recording-worker", "iat": now, "exp": now + 60, "jti": "j"}
    claimed = {"org_id": str(org)} | base | changes
    return {name: value for name, value in claimed.items() if value is not None}


def signed(key: GrantKey, payload: dict[str, object], **headers: object) -> str:
    return jwt.encode(payload, key.secret, algorithm="HS256", headers={"kid": key.kid} | headers)


def edited(grant: str, **changes: object) -> str:
    """The grant with other claims and the signature that it had."""
    head, body, signature = grant.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip('=')}.{signature}"


def altered(grant: str) -> str:
    """The last letter holds two bits that a lax decoder ignores: they count as well."""
    return grant[:-1] + chr(ord(grant[-1]) + 1 if grant[-1] not in "Zz9_-" else ord(grant[-1]) - 1)


def unsigned(payload: dict[str, object], kid: str) -> str:
    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{part(payload)}."


Forgery = Callable[[Database, UUID, UUID], str]

FORGERIES: dict[str, Forgery] = {
    "none": lambda db, a, b: "",
    "no token at all": lambda db, a, b: "let me in",
    "three empty parts": lambda db, a, b: "..",
    "not base64": lambda db, a, b: "a!.b!.c!",
    "another key under the same name": lambda db, a, b: signed(GrantKey(db.key.kid, b"f" * 32), claims(a)),
    "an unknown key": lambda db, a, b: signed(GrantKey("nobody", db.key.secret), claims(a)),
    "no key named": lambda db, a, b: jwt.encode(claims(a), db.key.secret, algorithm="HS256"),
    "expired": lambda db, a, b: signed(db.key, claims(a, exp=int(time.time()) - 1)),
    "without an end": lambda db, a, b: signed(db.key, claims(a, exp=None)),
    "from the future": lambda db, a, b: signed(db.key, claims(a, iat=int(time.time()) + 3600)),
    "another audience": lambda db, a, b: signed(db.key, claims(a, aud="authenticated")),
    "a list of audiences": lambda db, a, b: signed(db.key, claims(a, aud=["recording-worker", "all"])),
    "no audience": lambda db, a, b: signed(db.key, claims(a, aud=None)),
    "no subject": lambda db, a, b: signed(db.key, claims(a, sub=None)),
    "no organisation": lambda db, a, b: signed(db.key, claims(a, org_id=None)),
    "a malformed organisation": lambda db, a, b: signed(db.key, claims(a, org_id="everyone")),
    "a list of organisations": lambda db, a, b: signed(db.key, claims(a, org_id=[str(a)])),
    "edited to the other organisation": lambda db, a, b: edited(db.grant(a), org_id=str(b)),
    "edited to last longer": lambda db, a, b: edited(db.grant(a), exp=int(time.time()) + 10**6),
    "one letter of the signature": lambda db, a, b: altered(db.grant(a)),
    "without its signature": lambda db, a, b: db.grant(a).rpartition(".")[0] + ".",
    "alg none": lambda db, a, b: unsigned(claims(a), db.key.kid),
    "alg HS512": lambda db, a, b: jwt.encode(
        claims(a), db.key.secret * 2, algorithm="HS512", headers={"kid": db.key.kid}
    ),
    "a user's token": lambda db, a, b: signed(db.key, {"sub": "u", "app_metadata": {"org_id": str(a)}}),
    "very long": lambda db, a, b: db.grant(a) + "A" * 10_000,
}


@pytest.fixture(scope="module")
def two(shared: Database) -> tuple[UUID, UUID]:
    """Organisations A and B with an upload each."""
    org, other = shared.organisation("A"), shared.organisation("B")
    shared.enqueue(org)
    shared.enqueue(other)
    return org, other


@pytest.mark.parametrize("forgery", FORGERIES)
def test_any_select_with_a_bad_grant_raises_42501(shared: Database, two: tuple[UUID, UUID], forgery: str) -> None:
    engine = shared.engine("recording_worker")
    grant = FORGERIES[forgery](shared, *two)
    for table in TABLES:
        with pytest.raises(Exception, match=r"no valid task grant|permission denied") as refused:
            with task_transaction(engine, grant) as connection:
                connection.execute(text(f"SELECT count(*) FROM {table}"))
        assert getattr(refused.value.orig, "sqlstate", None) == "42501", table  # type: ignore[attr-defined]


def test_no_context_at_all_raises_on_empty_and_on_filled_tables(shared: Database, two: tuple[UUID, UUID]) -> None:
    with shared.connect() as admin:
        admin.execute("VACUUM ANALYZE")
    with shared.connect("recording_worker") as worker:
        for table in TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(f"SELECT count(*) FROM {table}")


def test_a_session_wide_setting_of_a_forged_grant_gets_no_further(shared: Database, two: tuple[UUID, UUID]) -> None:
    with shared.connect("recording_worker") as worker:
        worker.execute("SELECT set_config('app.task_grant', 'forged', false)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT id FROM recording_upload_queue")


def test_the_grant_of_one_shows_one_and_the_other_does_not_exist(shared: Database, two: tuple[UUID, UUID]) -> None:
    org, other = two
    with task_transaction(shared.engine("recording_worker"), shared.grant(org)) as connection:
        assert connection.scalars(text("SELECT DISTINCT org_id FROM recording_upload_queue")).all() == [org]
        assert connection.scalars(text("SELECT DISTINCT org_id FROM call_logs")).all() == [org]
        foreign = {"other": other}
        for statement in (
            "SELECT id FROM recording_upload_queue WHERE org_id = :other",
            "UPDATE recording_upload_queue SET status = 'failed', error_code = 'x' WHERE org_id = :other RETURNING id",
            "UPDATE call_logs SET recording_status = 'failed' WHERE org_id = :other RETURNING id",
        ):
            assert connection.execute(text(statement), foreign).all() == []


def test_a_worker_deletes_nothing_and_moves_nothing(shared: Database, two: tuple[UUID, UUID]) -> None:
    org, other = two
    engine = shared.engine("recording_worker")
    for statement in (
        "DELETE FROM recording_upload_queue",
        "DELETE FROM call_logs",
        "UPDATE recording_upload_queue SET org_id = :other",
        "UPDATE recording_upload_queue SET source_url = 'https://evil.example/'",
        "UPDATE call_logs SET transcript = ''",
        "SELECT transcript, from_number FROM call_logs",
        "SELECT secret FROM app.grant_keys",
        "SELECT * FROM app.grant_keys",
        "TRUNCATE recording_upload_metrics",
        "SET ROLE recordings_owner",
        "SET ROLE recording_dispatcher",
    ):
        with pytest.raises(Exception, match=r"permission denied|does not exist"):
            with task_transaction(engine, shared.grant(org)) as connection:
                connection.execute(text(statement), {"other": other} if ":other" in statement else {})


INSERTS = [
    "INSERT INTO recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome) "
    "VALUES (%s, %s, %s, 99, 'completed')",
    "INSERT INTO failed_recording_uploads (org_id, call_id, upload_id, error_code, error_message) "
    "VALUES (%s, %s, %s, 'x', 'x')",
]


@pytest.mark.parametrize("statement", INSERTS)
def test_an_insert_for_the_other_organisation_raises(shared: Database, two: tuple[UUID, UUID], statement: str) -> None:
    org, other = two
    foreign = shared.one("SELECT org_id, call_id, id FROM recording_upload_queue WHERE org_id = %s", other)
    with shared.connect("recording_worker") as worker, worker.transaction(force_rollback=True):
        worker.execute("SELECT set_config('app.task_grant', %s, true)", (shared.grant(org),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            worker.execute(statement, foreign)


def test_the_grant_ends_with_its_transaction_on_a_pooled_connection(shared: Database, two: tuple[UUID, UUID]) -> None:
    engine = shared.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    try:
        with task_transaction(engine, shared.grant(two[0])) as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(RuntimeError), task_transaction(engine, shared.grant(two[0])) as connection:
            raise RuntimeError
        run_as_task(engine, shared.grant(two[0]), "SELECT id FROM recording_upload_queue", {})
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT pg_backend_pid()")) == pid
            assert connection.scalar(text("SELECT current_setting('app.task_grant', true)")) in ("", None)
            with pytest.raises(Exception, match="no valid task grant"):
                connection.execute(text("SELECT id FROM recording_upload_queue"))
    finally:
        engine.dispose()


def test_a_retired_key_works_until_the_overlap_ends(database: Database) -> None:
    org = database.organisation()
    upload = database.enqueue(org).upload_id
    new = GrantKey.generate()
    grant_keys.install(database.url(), new.kid, new.secret)
    fresh = mint(new, org_id=org, subject=upload, now_s=time.time(), lifetime_s=60)
    engine = database.engine("recording_worker")
    look = "SELECT id FROM public.recording_upload_queue"
    assert grant_keys.retire_others(database.url(), new.kid, overlap=timedelta(hours=1)) == 1
    for grant in (database.grant(org), fresh):
        assert run_as_task(engine, grant, look, {}) == [(upload,)]
    database.run("UPDATE app.grant_keys SET expires_at = now() WHERE kid = %s", database.key.kid)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_as_task(engine, database.grant(org), look, {})
    assert run_as_task(engine, fresh, look, {}) == [(upload,)]

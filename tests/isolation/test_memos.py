"""What was verified in a transaction is not verified again in it, and nobody else can say that it was (decision 29)."""

import base64
import hashlib
import hmac
import os
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg._pipeline_base import BasePipeline
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from schema import grant_keys
from schema.grant import Grant
from schema.tenancy import run_all_as_task, run_as_task
from tests.database import Database
from tests.isolation.test_grants import altered, edited
from tests.waiting import until
from workers.grants import GrantKey, mint, vouch

LOOK = "SELECT DISTINCT org_id FROM public.recording_upload_queue"
SAY = "SELECT set_config('app.task_grant', %s, true)"
RECALL = "SELECT current_setting('app.task_memo', true), current_setting('app.task_memo_proof', true)"
READY = b"Z\0\0\0\5I"
SUGGEST = "SELECT set_config('app.task_memo', %s, true), set_config('app.task_memo_proof', %s, true)"

Worker = psycopg.Connection[Any]


@pytest.fixture
def two(shared: Database) -> tuple[UUID, UUID]:
    """Organisations A and B with an upload each."""
    org, other = shared.organisation("A"), shared.organisation("B")
    shared.enqueue(org)
    shared.enqueue(other)
    return org, other


@pytest.fixture
def worker(shared: Database) -> Iterator[Worker]:
    """Within a transaction."""
    with shared.connect("recording_worker") as connection, connection.transaction(force_rollback=True):
        yield connection


def memo(key: GrantKey, org: UUID, ends_s: int, grant: str) -> tuple[str, str]:
    """As the database makes it, by whoever holds the key."""
    said = f"{org} {ends_s} {key.kid}"
    proof = hmac.digest(key.secret, f"memo:{said} {grant}".encode(), hashlib.sha256)
    return said, base64.b64encode(proof).decode()


def sync_and_wait_for_all_answers(pipeline: BasePipeline) -> None:
    """As psycopg ends a pipeline, by a thread that is put aside until PostgreSQL has said its last word."""

    def sync() -> None:
        pipeline.pgconn.pipeline_sync()
        with socket.socket(fileno=os.dup(pipeline.pgconn.socket)) as heard:
            heard.settimeout(60)
            until(lambda: READY in heard.recv(65_536, socket.MSG_PEEK))

    pipeline.command_queue.append(sync)
    pipeline.result_queue.append(None)


def refused(worker: Worker) -> bool:
    """Whether the next question is refused as every bad grant is; the transaction goes on."""
    try:
        with worker.transaction():
            worker.execute(LOOK)
    except psycopg.errors.InsufficientPrivilege as error:
        return error.diag.message_primary == "no valid task grant"
    return False


def test_what_was_verified_is_kept_for_the_transaction(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    grant = mint(shared.key, org_id=two[0], subject=uuid4(), now_s=time.time(), lifetime_s=600)
    worker.execute(SAY, (grant,))
    worker.execute(LOOK)
    said, proof = worker.execute(RECALL).fetchall()[0]
    assert (said, proof) == memo(shared.key, two[0], int(said.split()[1]), grant)
    assert int(said.split()[1]) == pytest.approx(time.time() + 600, abs=60)


def test_what_is_kept_is_believed_and_not_verified_again(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    """No grant at all, and a memo that only the key's holder could have made: the database looks no further."""
    worker.execute(SUGGEST, memo(shared.key, two[0], int(time.time()) + 60, ""))
    assert worker.execute(LOOK).fetchall() == [(two[0],)]


def test_it_ends_with_its_transaction(shared: Database, two: tuple[UUID, UUID]) -> None:
    engine, grant = shared.engine("recording_worker"), shared.grant(two[0])
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.transaction():
            driver.execute(SAY, (grant,))
            driver.execute(LOOK)
            kept = driver.execute(RECALL).fetchone()
        assert set(driver.execute(RECALL).fetchone()) <= {"", None}
        driver.rollback()
        with driver.transaction(force_rollback=True):
            driver.execute(SUGGEST, kept)
            assert refused(driver)


def test_another_grant_in_the_same_transaction_is_another_memo(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    grants = {org: shared.grant(org) for org in two}
    for org in (*two, two[0]):
        worker.execute(SAY, (grants[org],))
        assert worker.execute(LOOK).fetchall() == [(org,)]
        for bad in ("", "let me in", altered(grants[org]), edited(grants[org], org_id=str(two[1])), grants[org] + " "):
            worker.execute(SAY, (bad,))
            assert refused(worker)


def test_it_ends_when_the_grant_does_however_numbers_are_written(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    worker.execute("SET LOCAL extra_float_digits = -15")
    worker.execute(SAY, (shared.grant(two[0], lifetime_s=4.0),))
    assert not refused(worker)
    until(lambda: refused(worker), timeout_s=20)


@pytest.mark.parametrize("how", ["removed", "expired"])
def test_it_ends_when_the_key_does(database: Database, how: str) -> None:
    org = database.organisation()
    database.enqueue(org)
    with database.connect("recording_worker") as worker, worker.transaction(force_rollback=True):
        worker.execute(SAY, (database.grant(org),))
        assert worker.execute(LOOK).fetchall() == [(org,)]
        if how == "removed":
            database.run("DELETE FROM app.grant_keys WHERE kid = %s", database.key.kid)
        else:
            new = GrantKey.generate()
            grant_keys.install(database.url(), new.kid, new.secret)
            grant_keys.retire_others(database.url(), new.kid, overlap=timedelta(0))
        assert refused(worker)


def test_savepoints_cursors_and_transactions_that_only_read_see_what_they_saw_before(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    worker.execute("SET TRANSACTION READ ONLY")
    worker.execute(SAY, (shared.grant(two[0]),))
    with worker.transaction(force_rollback=True):
        assert worker.execute(LOOK).fetchall() == [(two[0],)]
        worker.execute(SAY, (shared.grant(two[1]),))
        assert worker.execute(LOOK).fetchall() == [(two[1],)]
    with worker.cursor("kept") as cursor:
        cursor.execute(LOOK)
        worker.execute(SAY, ("",))
        assert refused(worker)
        worker.execute(SAY, (shared.grant(two[0]),))
        assert cursor.fetchall() == [(two[0],)]


def test_one_statement_of_a_task_leaves_nothing_on_its_connection(shared: Database, two: tuple[UUID, UUID]) -> None:
    engine = shared.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    grant = shared.grant(two[0])
    assert run_as_task(engine, grant, LOOK, {}) == [(two[0],)]
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_as_task(engine, grant, "SELECT 1 / 0 FROM public.recording_upload_queue", {})
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert not driver.autocommit
        assert set(driver.execute(RECALL).fetchone()) <= {"", None}
        driver.rollback()
    engine.dispose()


@pytest.mark.parametrize("at_once", [False, True], ids=["as they come", "in one read"])
def test_what_fails_at_the_commit_itself_is_an_error_and_the_next_statement_has_another_connection(
    database: Database, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No constraint of ours is checked that late; a server that ends just then looks the same."""
    if at_once:
        monkeypatch.setattr(BasePipeline, "_enqueue_sync", sync_and_wait_for_all_answers)
    org = database.organisation()
    upload = database.enqueue(org)
    database.run("CREATE FUNCTION app.late() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'late'; END$$")
    database.run(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON recording_upload_metrics DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION app.late()"
    )
    insert = (
        "INSERT INTO public.recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome) "
        "VALUES (%(org)s, %(call)s, %(upload)s, 1, 'snoozed') RETURNING upload_id"
    )
    asked = {"org": org, "call": upload.call_id, "upload": upload.upload_id}
    engine = database.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    for _ in range(2):
        with pytest.raises(psycopg.Error):
            run_as_task(engine, database.grant(org), insert, asked)
        assert run_as_task(engine, database.grant(org), LOOK, {}) == [(org,)]
    engine.dispose()
    assert database.one("SELECT count(*) FROM recording_upload_metrics") == 0


def test_a_first_connection_that_is_lost_is_the_drivers_error_too(database: Database) -> None:
    """SQLAlchemy asks it what server that is, before anybody else has it."""

    def end(connection: psycopg.Connection[Any], _: object) -> None:
        database.one("SELECT pg_terminate_backend(%s, 10000)", connection.info.backend_pid)

    org, engine = database.organisation(), database.engine("recording_worker")
    event.listen(engine, "connect", end, insert=True)
    with pytest.raises(psycopg.OperationalError):
        run_as_task(engine, database.grant(org), LOOK, {})
    event.remove(engine, "connect", end)
    assert run_as_task(engine, database.grant(org), LOOK, {}) == []


def test_no_parallel_worker_is_asked_and_the_answer_is_one_for_a_statement(shared: Database) -> None:
    function = "SELECT proparallel, provolatile, prosecdef FROM pg_proc WHERE oid = 'app.task_org_id'::regproc"
    assert shared.one(function) == ("u", "s", True)


def test_what_the_dispatcher_says_of_a_grant_is_what_postgresql_writes_down_of_it(
    shared: Database, two: tuple[UUID, UUID], worker: Worker
) -> None:
    now_s = time.time()
    grant = mint(shared.key, org_id=two[0], subject=uuid4(), now_s=now_s, lifetime_s=600)
    worker.execute(SAY, (grant,))
    worker.execute(LOOK)
    said = vouch(shared.key, grant, org_id=two[0], now_s=now_s, lifetime_s=600)
    assert worker.execute(RECALL).fetchone() == said


def test_what_came_with_a_grant_is_said_to_postgresql_and_with_no_other(
    shared: Database, two: tuple[UUID, UUID]
) -> None:
    engine, grants = shared.engine("recording_worker"), [shared.grant(org) for org in two]
    vouched = Grant(grants[0], *memo(shared.key, two[0], int(time.time()) + 60, grants[0]))
    for _ in range(2):
        assert run_as_task(engine, vouched, RECALL, {}) == [(vouched.memo, vouched.proof)]
        assert run_as_task(engine, vouched, LOOK, {}) == [(two[0],)]
        assert run_as_task(engine, grants[1], RECALL, {}) == [("", "")]
        assert run_as_task(engine, grants[1], LOOK, {}) == [(two[1],)]


@pytest.mark.parametrize("wrong", [("made up", "made up"), ("\u00fc", ""), (" ", " ")])
def test_a_memo_that_does_not_fit_costs_a_verification_and_nothing_else(
    shared: Database, two: tuple[UUID, UUID], wrong: tuple[str, str]
) -> None:
    engine = shared.engine("recording_worker")
    assert run_as_task(engine, Grant(shared.grant(two[1]), *wrong), LOOK, {}) == [(two[1],)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no valid task grant"):
        run_as_task(engine, Grant(altered(shared.grant(two[1])), *wrong), LOOK, {})


def test_a_memo_of_ones_own_opens_nothing_of_anothers(shared: Database, two: tuple[UUID, UUID]) -> None:
    engine, (own, other) = shared.engine("recording_worker"), (shared.grant(org) for org in two)
    of_own = memo(shared.key, two[0], int(time.time()) + 60, own)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no valid task grant"):
        run_as_task(engine, Grant(edited(own, org_id=str(two[1])), *of_own), LOOK, {})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no valid task grant"):
        run_as_task(engine, Grant("", of_own[0].replace(str(two[0]), str(two[1])), of_own[1]), LOOK, {})
    assert run_as_task(engine, Grant(other, *of_own), LOOK, {}) == [(two[1],)]


@pytest.mark.parametrize("before", range(7))  # psycopg prepares what it has run five times
def test_what_comes_behind_an_error_is_not_taken_for_prepared(
    shared: Database, two: tuple[UUID, UUID], before: int
) -> None:
    engine = shared.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    grant, wrong = shared.grant(two[0]), "SELECT 1 / 0 FROM public.recording_upload_queue"
    for _ in range(before):
        assert run_as_task(engine, grant, LOOK, {}) == [(two[0],)]
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_all_as_task(engine, grant, (wrong, {}), (LOOK, {}))
    assert run_as_task(engine, grant, LOOK, {}) == [(two[0],)]
    engine.dispose()


def test_a_connection_on_which_grants_were_refused_serves_the_next_one(
    shared: Database, two: tuple[UUID, UUID]
) -> None:
    engine = shared.engine("recording_worker", poolclass=QueuePool, pool_size=1, max_overflow=0)
    for _ in range(12):  # psycopg prepares what it has run five times
        assert run_as_task(engine, shared.grant(two[1]), LOOK, {}) == [(two[1],)]
        for _ in range(3):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no valid task grant"):
                run_as_task(engine, altered(shared.grant(two[0])), LOOK, {})
    engine.dispose()

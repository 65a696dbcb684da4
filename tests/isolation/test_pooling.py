"""Connections that are shared: by threads of one pool, and by clients of a pooler. No context is left to the next one.

The other tests of this folder run behind PgBouncer too (``tests/conftest.py``); here is what only sharing can break.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from schema.pooler import TransactionPoolerError, refuse_transaction_pooler, suited_to_poolers
from schema.tenancy import run_as_task, task_transaction, user_transaction
from tests.database import Database
from tests.desk import COPIED, Desk
from tests.operator_desk import OperatorDesk
from tests.pgbouncer import PgBouncer, Pooled
from workers.errors import LeaseLost, SourceTimeout
from workers.grants import GrantKey
from workers.pipeline import _engine
from workers.retry import Reschedule
from workers.self_report import Condition, SelfReport
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
THREADS = 16
MINE = "SELECT id FROM public.recording_upload_queue"


def of(org_id: UUID) -> dict[str, Any]:
    return {"sub": str(uuid4()), "role": "authenticated", "app_metadata": {"org_id": str(org_id)}}


def in_threads(work: Callable[[int], None], count: int = THREADS) -> None:
    """All at once; the first that failed fails the test."""
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - carried over to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


@pytest.fixture(scope="module")
def orgs(shared: Database) -> dict[UUID, set[UUID]]:
    """Four organisations with one to four recordings: whose rows they are shows in their number already."""
    made = [shared.organisation(name) for name in "ABCD"]
    return {org: {shared.enqueue(org).upload_id for _ in range(n)} for n, org in enumerate(made, 1)}


@contextmanager
def pool(database: Database, login: str, size: int = 4) -> Iterator[Engine]:
    made = suited_to_poolers(database.engine(login, poolclass=QueuePool, pool_size=size, max_overflow=0))
    try:
        yield made
    finally:
        made.dispose()


# One pool, many threads ----------------------------------------------------------------------------------------------


def test_threads_that_alternate_organisations_on_one_pool_see_exactly_the_rows_of_each(
    shared: Database, orgs: dict[UUID, set[UUID]]
) -> None:
    alternate(shared, orgs, transactions=10_000, connections=4)


def test_threads_that_alternate_organisations_behind_one_server_connection_do_too(
    narrow: Database, orgs: dict[UUID, set[UUID]]
) -> None:
    alternate(narrow, orgs, transactions=1_600, connections=1)


def alternate(database: Database, orgs: dict[UUID, set[UUID]], *, transactions: int, connections: int) -> None:
    """16 threads on so many connections a login, as worker and as user in turn. Every fifth transaction fails: in
    Python, in SQL, by an edited grant, or midway through a pipeline."""
    grants = {org: database.grant(org) for org in orgs}
    order = list(orgs)
    seen = [0] * THREADS
    with pool(database, "recording_worker") as worker, pool(database, "authenticator") as users:

        def work(number: int) -> None:
            for turn in range(transactions // THREADS):
                org = order[(number + turn) % len(order)]
                if turn % 5 == 4:
                    fail(worker, users, org, grants[org], way=turn // 5 % 4)
                elif turn % 2:
                    assert {row[0] for row in run_as_task(worker, grants[org], MINE, {})} == orgs[org]
                else:
                    with user_transaction(users, of(org)) as connection:
                        assert set(connection.scalars(text(MINE))) == orgs[org]
                seen[number] += 1

        in_threads(work)
        assert sum(seen) == transactions
        for login in (worker, users):
            nothing_is_left(login, connections)


def fail(worker: Engine, users: Engine, org: UUID, grant: str, *, way: int) -> None:
    if way == 0:
        with suppress(RuntimeError), task_transaction(worker, grant) as connection:
            connection.exec_driver_sql(MINE)
            raise RuntimeError
    elif way == 1:
        with suppress(DBAPIError), user_transaction(users, of(org)) as connection:
            connection.exec_driver_sql("SELECT 1 / 0")
    elif way == 2:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run_as_task(worker, grant[:-2], MINE, {})
    else:
        with pytest.raises(psycopg.errors.DivisionByZero):
            run_as_task(worker, grant, "SELECT 1 / (count(*) - count(*)) FROM public.call_logs", {})


def nothing_is_left(engine: Engine, connections: int) -> None:
    """On any of them: held all at once, so that none is asked twice."""
    held = [engine.connect() for _ in range(connections)]
    try:
        for connection in held:
            assert context(connection.exec_driver_sql) == ("", "", True)
            with pytest.raises(DBAPIError):
                connection.exec_driver_sql(MINE)
    finally:
        for connection in held:
            connection.close()


def context(execute: Callable[[str], Any]) -> tuple[str, str, bool]:
    """Grant, claims, and whether one is one's own login."""
    row: tuple[str, str, bool] = tuple(
        execute(
            "SELECT coalesce(current_setting('app.task_grant', true), ''), "
            "coalesce(current_setting('request.jwt.claims', true), ''), current_user = session_user"
        ).fetchone()
    )
    return row


# One server connection, many clients ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["plain", "resetting"])
def narrow(request: pytest.FixtureRequest, shared: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A pooler with one server connection a login: whoever comes next gets what the last one left. As PgBouncer comes,
    and with ``server_reset_query_always``."""
    settings = {"default_pool_size": "1", "server_reset_query_always": str(int(request.param == "resetting"))}
    with PgBouncer.before(shared, tmp_path_factory.mktemp("narrow"), **settings) as running:
        yield Pooled.of(shared, running)


def backend(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def neighbours(database: Database, login: str) -> Iterator[tuple[Any, Any]]:
    """Two clients, of which it is known that they share."""
    with database.connect(login) as one, database.connect(login) as other:
        assert backend(one) == backend(other)
        yield one, other


ENTER = {
    "recording_worker": "SELECT set_config('app.task_grant', %(grant)s, true)",
    "authenticator": "SELECT set_config('role', 'authenticated', true), "
    "set_config('request.jwt.claims', %(claims)s, true)",
}


def values(database: Database, org: UUID) -> dict[str, str]:
    return {"grant": database.grant(org), "claims": '{"app_metadata": {"org_id": "' + str(org) + '"}}'}


@pytest.mark.parametrize("login", ENTER)
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "SELECT 1 / 0"])
def test_a_neighbour_finds_nothing_however_the_transaction_ended(
    narrow: Database, orgs: dict[UUID, set[UUID]], login: str, end: str
) -> None:
    org = next(iter(orgs))
    with neighbours(narrow, login) as (one, other):
        with suppress(psycopg.errors.DivisionByZero):
            one.execute("BEGIN")
            one.execute(ENTER[login], values(narrow, org))
            assert {row[0] for row in one.execute(MINE)} == orgs[org]
            one.execute(end)
        if end == "SELECT 1 / 0":
            one.execute("ROLLBACK")
        assert context(other.execute) == ("", "", True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(MINE)


@pytest.mark.parametrize("login", ENTER)
def test_a_neighbour_finds_nothing_of_a_client_that_died_in_its_transaction(
    narrow: Database, orgs: dict[UUID, set[UUID]], login: str
) -> None:
    """Killed, as a process is: nobody says goodbye."""
    program = (
        "import os, psycopg, sys\n"
        "connection = psycopg.connect(sys.argv[1])\n"
        "connection.execute(sys.argv[2], {'grant': sys.argv[3], 'claims': sys.argv[4]})\n"
        "print(len(connection.execute(sys.argv[5]).fetchall()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    org, given = next(iter(orgs)), values(narrow, next(iter(orgs)))
    argv = (narrow.url(login), ENTER[login], given["grant"], given["claims"], MINE)
    died = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, check=False)
    assert (died.returncode, died.stdout.strip()) == (-signal.SIGKILL, str(len(orgs[org])))
    with narrow.connect(login) as other:
        assert context(other.execute) == ("", "", True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(MINE)


HOSTILE = {
    "recording_worker": ["SELECT set_config('app.task_grant', %(grant)s, false)"],
    "authenticator": ["SELECT set_config('request.jwt.claims', %(claims)s, false)", "SET ROLE authenticated"],
}


def test_what_somebody_set_for_the_whole_session_does_not_reach_a_transaction_of_ours(
    narrow: Database, orgs: dict[UUID, set[UUID]]
) -> None:
    """Each of ours says itself for whom it acts, on every path: what lies about is never asked."""
    mine, others = list(orgs)[:2]
    for login, statements in HOSTILE.items():
        with narrow.connect(login) as hostile, pool(narrow, login, 1) as engine:
            for statement in [*statements, "SET search_path = nowhere"]:
                hostile.execute(statement, values(narrow, others))
            assert seen_by(narrow, engine, login, mine) == orgs[mine]
            hostile.execute("SET row_security = off")
            with suppress(DBAPIError):
                assert seen_by(narrow, engine, login, mine) == orgs[mine], "or an error, as PostgreSQL has it"
            hostile.execute("DISCARD ALL")


def seen_by(database: Database, engine: Engine, login: str, org: UUID) -> set[UUID]:
    is_worker = login == "recording_worker"
    entered = task_transaction(engine, database.grant(org)) if is_worker else user_transaction(engine, of(org))
    with entered as connection:
        return set(connection.scalars(text(MINE)))


def test_only_a_pooler_that_resets_takes_away_what_was_set_for_the_whole_session(
    narrow: Database, orgs: dict[UUID, set[UUID]], request: pytest.FixtureRequest
) -> None:
    """docs/deployment.md asks for ``server_reset_query_always``: without it this is what it looks like."""
    org, resets = next(iter(orgs)), "resetting" in request.node.callspec.id
    for login, statements in HOSTILE.items():
        with neighbours(narrow, login) as (hostile, victim):
            for statement in statements:
                hostile.execute(statement, values(narrow, org))
            assert (context(victim.execute) == ("", "", True)) is resets
            hostile.execute("DISCARD ALL")
            hostile.execute("CREATE TEMP TABLE call_logs (id integer)")
            left = victim.execute("SELECT to_regclass('pg_temp.call_logs')").fetchone() != (None,)
            assert left is not resets
            hostile.execute("DISCARD ALL")


def test_what_a_login_is_bound_to_holds_behind_the_pooler(narrow: Database) -> None:
    direct = Database.url(narrow, narrow.admin)
    with psycopg.connect(direct) as admin:
        wanted = admin.execute(
            "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 'recording_worker'::regrole"
        ).fetchall()
    assert len(wanted) >= 5
    with narrow.connect("recording_worker") as worker:
        for (setting,) in wanted:
            name, _, value = setting.partition("=")
            shown = worker.execute(
                "SELECT current_setting(%s) = value FROM (SELECT set_config(%s, %s, true)) AS s (value)",
                (name, name, value),
            ).fetchone()
            assert worker.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone() == (
                {"60s": "1min"}.get(value, value),
            ), shown


# The queue behind it -------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(narrow: Database) -> Iterator[Desk]:
    opened = Desk.open(narrow)
    yield opened
    opened.close()


def test_the_queue_works_behind_it_however_often_a_statement_comes(desk: Desk) -> None:
    """16 threads, 10 rounds each: beyond what psycopg runs unprepared, under names that would collide."""
    error = SourceTimeout()
    lost: list[int] = []

    def work(number: int) -> None:
        worker = desk.worker(f"worker{number}")
        for turn in range(10):
            upload = worker.claim(desk.grant, desk.enqueue())
            assert upload is not None
            worker.renew(desk.grant, upload)
            if turn % 3 == 0:
                worker.complete(desk.grant, upload, COPIED, total_ms=1)
            elif turn % 3 == 1:
                at = datetime.now(UTC) + timedelta(minutes=1)
                worker.fail(desk.grant, upload, error, Reschedule(at), total_ms=1)
            else:
                worker.put_back(desk.grant, upload, total_ms=1)
            try:
                worker.renew(desk.grant, upload)
            except LeaseLost:
                lost.append(turn)

    in_threads(work)
    assert len(lost) == 160, "each was settled"
    outcomes = desk.database.all(
        "SELECT outcome, count(*) FROM recording_upload_metrics WHERE org_id = %s GROUP BY outcome ORDER BY 1",
        desk.org_id,
    )
    assert outcomes == [("completed", 64), ("interrupted", 48), ("rescheduled", 48)]


def settings_of(database: Database) -> WorkerSettings:
    given = {"DATABASE_URL": database.url("recording_worker"), "RECORDINGS_BUCKET": "none"}
    return WorkerSettings.model_validate(given | {"REDIS_URL": "redis://127.0.0.1:1/0"})


def prepared(database: Database, orgs: dict[UUID, set[UUID]]) -> int:
    """By a worker's own engine, after a statement came twenty times."""
    org, engine = next(iter(orgs)), _engine(settings_of(database), 1)
    grant = database.grant(org)
    try:
        for _ in range(20):
            assert {row[0] for row in run_as_task(engine, grant, MINE, {})} == orgs[org]
        rows = run_as_task(engine, grant, "SELECT count(*) FROM pg_prepared_statements", {})
        return int(rows[0][0])
    finally:
        engine.dispose()


def test_a_worker_prepares_its_statements_on_connections_of_its_own_and_none_behind_a_pooler(
    shared: Database, narrow: Database, orgs: dict[UUID, set[UUID]]
) -> None:
    assert prepared(shared, orgs) >= 1
    assert prepared(narrow, orgs) == 0


def test_nothing_is_pipelined_behind_it(
    narrow: Database, orgs: dict[UUID, set[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline ends with a Flush. One that comes late takes a server connection and never gives it back: seen as
    everybody waiting for the one connection of an idle client, once in some thousand transactions."""
    monkeypatch.setattr(psycopg.Connection, "pipeline", lambda _: pytest.fail("a pipeline"))
    org = next(iter(orgs))
    with pool(narrow, "recording_worker", 1) as engine:
        for _ in range(3):
            assert {row[0] for row in run_as_task(engine, narrow.grant(org), MINE, {})} == orgs[org]


def test_a_worker_reports_itself_behind_it(narrow: Database) -> None:
    reporter = SelfReport(narrow.url("recording_worker"), "pooled", 8, lambda: Condition(1), threading.Event())
    for _ in range(10):
        reporter.say(leaving=False)
        assert narrow.run("DELETE FROM app.workers WHERE name = 'pooled'") == 1
    reporter.close()


def test_an_operator_retries_hundreds_behind_it(narrow: Database) -> None:
    operator = OperatorDesk(narrow, narrow.organisation())
    operator.fail(300)
    said = operator.json("retry", "--org", operator.org_id, "--reason", "why", "--yes")
    assert operator.pending() == 300, said


# Who may not be behind it --------------------------------------------------------------------------------------------


def dispatcher_behind(database: Database, tmp_path: Path, mode: str) -> tuple[PgBouncer, str]:
    bouncer = PgBouncer.before(database, tmp_path, pool_mode=mode)
    return bouncer, Database.url(database, "recording_dispatcher").replace(
        f":{database.postgres.port}/", f":{bouncer.port}/"
    )


def test_a_dispatcher_refuses_to_start_behind_a_pooler_that_shares(shared: Database, tmp_path: Path) -> None:
    """Its lock and its LISTEN belong to a connection: two would lead, and none would hear."""
    bouncer, url = dispatcher_behind(shared, tmp_path, "transaction")
    with bouncer:
        environment = {"DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
        done = subprocess.run(
            [sys.executable, "-m", "workers.cli", "dispatcher"],
            env=os.environ | environment | {"RECORDINGS_GRANT_KEY": GrantKey.generate().text},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2, done.stderr
    assert "DATABASE_URL leads to a pooler in transaction mode" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dispatcher_finds_out_among_others_of_its_login(shared: Database, tmp_path: Path) -> None:
    """Server connections that lie idle or are held by others do not hide it."""
    bouncer, url = dispatcher_behind(shared, tmp_path, "transaction")

    def dial() -> psycopg.Connection[Any]:
        return psycopg.connect(url, autocommit=True)

    with bouncer, dial() as one, dial() as two, dial() as three:
        with one.transaction(), two.transaction():
            assert len({backend(one), backend(two), backend(three)}) == 3
            for _ in range(10):
                with dial() as connection, pytest.raises(TransactionPoolerError):
                    refuse_transaction_pooler(connection, dial)


def test_a_pooler_in_session_mode_is_as_good_as_none(shared: Database, tmp_path: Path) -> None:
    bouncer, url = dispatcher_behind(shared, tmp_path, "session")

    def dial() -> psycopg.Connection[Any]:
        return psycopg.connect(url, autocommit=True)

    with bouncer, dial() as connection:
        assert connection.info.backend_pid != backend(connection), "there is a pooler"
        refuse_transaction_pooler(connection, dial)
    with shared.connect("recording_dispatcher") as connection:
        refuse_transaction_pooler(connection, lambda: pytest.fail("nobody else need be asked"))

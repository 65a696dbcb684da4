"""A refused doorbell leaves a trace, a flood of them no more than a trace; who reports them can do nothing else."""

import threading
import time
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from schema import grant_keys
from tests.database import Database
from tests.isolation.test_grants import FORGERIES, claims, signed
from workers.grants import GrantKey

REPORT = "SELECT app.report_refused_grant(worker => 'w1', task => 't', upload_id => %s)"
AUDITED = "SELECT org_id, actor, subject_id, detail FROM audit_log WHERE action = 'grant_refused' ORDER BY id"
#: What each of the forgeries is; the others are forged.
KINDS = {
    "none": "missing",
    "an unknown key": "unknown_key",
    "expired": "late",
    "without an end": "unfit",
    "from the future": "unfit",
    "another audience": "unfit",
    "a list of audiences": "unfit",
    "no audience": "unfit",
    "no subject": "unfit",
    "no organisation": "unfit",
    "a malformed organisation": "unfit",
    "a list of organisations": "unfit",
    "a user's token": "unfit",
}


def report(database: Database, grant: str, upload_id: UUID | None = None) -> Any:
    with database.connect("recording_worker") as worker, worker.transaction():
        worker.execute("SELECT set_config('app.task_grant', %s, true)", (grant,))
        row = worker.execute(REPORT, (upload_id,)).fetchone()
    assert row is not None
    return row[0]


def counts(database: Database) -> dict[str, int]:
    return {
        kind: int(total) for kind, total in database.all("SELECT kind, sum(refused) FROM app.refused_grants GROUP BY 1")
    }


@pytest.mark.parametrize("forgery", FORGERIES)
def test_each_forgery_is_named_counted_and_audited_once_without_an_organisation(
    database: Database, forgery: str
) -> None:
    grant = FORGERIES[forgery](database, uuid4(), uuid4())
    kind, upload_id = KINDS.get(forgery, "forged"), uuid4()
    assert report(database, grant, upload_id) == kind
    assert counts(database) == {kind: 1}
    audited = database.all(AUDITED)
    if kind == "late":
        assert audited == []
        return
    ((org_id, actor, subject_id, detail),) = audited
    assert (org_id, actor, subject_id) == (None, "recording_worker", None)
    assert detail["kind"] == kind
    assert detail["claimed_upload_id"] == str(upload_id)
    assert detail.keys() <= {"kind", "so_far_this_hour", "kid", "worker", "task", "claimed_upload_id"}
    assert "eyJ" not in str(detail)


def test_a_grant_that_holds_is_nothing_to_report(database: Database) -> None:
    assert report(database, database.grant(database.organisation())) is None
    assert counts(database) == {}


@pytest.mark.parametrize("ends", ["now()", "now() - interval '1 day'"])
def test_a_grant_of_a_revoked_key_is_told_from_a_late_one(database: Database, ends: str) -> None:
    database.run(f"UPDATE app.grant_keys SET expires_at = {ends}")
    assert report(database, database.grant(uuid4())) == "retired_key"
    ((_, _, _, detail),) = database.all(AUDITED)
    assert detail["kid"] == database.key.kid


def test_a_late_grant_is_late_whatever_else_it_says_only_if_it_was_signed(database: Database) -> None:
    past = int(time.time()) - 5
    assert report(database, signed(database.key, claims(uuid4(), exp=past))) == "late"
    assert report(database, signed(GrantKey(database.key.kid, b"f" * 32), claims(uuid4(), exp=past))) == "forged"
    assert report(database, signed(database.key, claims(uuid4(), exp=past, aud="authenticated"))) == "unfit"


def test_a_flood_is_counted_to_the_last_and_audited_in_few_rows(database: Database) -> None:
    def flood() -> None:
        with database.connect("recording_worker") as worker:
            for _ in range(1_250):
                worker.execute(REPORT, (None,))

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(database) == {"missing": 5_000}
    written = [detail["so_far_this_hour"] for _, _, _, detail in database.all(AUDITED)]
    assert sorted(written) == [*range(1, 21), 100, 1_000]


def test_what_is_given_is_bounded_and_ids_are_ids(database: Database) -> None:
    with database.connect("recording_worker") as worker:
        worker.execute("SELECT app.report_refused_grant(worker => repeat('w', 100000), task => repeat('t', 100000))")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            worker.execute("SELECT app.report_refused_grant(worker => 'w', upload_id => 'eyJhbGciOi')")
        for seen in ("late", "forged", "anything", ""):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                worker.execute("SELECT app.report_refused_grant(worker => 'w', seen => %s)", (seen,))
    ((_, _, _, detail),) = database.all(AUDITED)
    assert len(str(detail)) < 500


def test_what_the_worker_sees_by_itself_is_taken_at_its_word(database: Database) -> None:
    with database.connect("recording_worker") as worker:
        for seen in ("malformed", "missing", "misdirected"):
            said = worker.execute("SELECT app.report_refused_grant(worker => 'w', seen => %s)", (seen,)).fetchone()
            assert said == (seen,)
    assert counts(database) == {"malformed": 1, "missing": 1, "misdirected": 1}


def test_counts_older_than_ninety_days_are_forgotten(database: Database) -> None:
    database.run("INSERT INTO app.refused_grants (hour, kind) VALUES (now() - interval '91 days', 'forged')")
    report(database, "")
    assert counts(database) == {"missing": 1}


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        ("recording_worker", "SELECT * FROM app.refused_grants"),
        ("recording_worker", "INSERT INTO app.refused_grants (hour, kind) VALUES (now(), 'late')"),
        ("recording_worker", "DELETE FROM app.refused_grants"),
        ("recording_worker", "SELECT app.grant_fault()"),
        ("recording_worker", "INSERT INTO audit_log (actor, action) VALUES ('x', 'grant_refused')"),
        ("recording_dispatcher", "SELECT app.report_refused_grant('w')"),
        ("recording_ops", "SELECT app.report_refused_grant('w')"),
        ("recording_ops", "DELETE FROM app.refused_grants"),
        ("call_handler", "SELECT app.report_refused_grant('w')"),
        ("authenticator", "SELECT app.report_refused_grant('w')"),
    ],
)
def test_nobody_else_reports_and_nobody_takes_a_report_back(shared: Database, login: str, statement: str) -> None:
    with shared.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_role_behind_it_writes_this_one_kind_of_row_and_in_nobodys_name(shared: Database) -> None:
    org = shared.organisation()
    for columns, values in (
        ("actor, action", "'recording_ops', 'grant_refused'"),
        ("actor, action", "session_user, 'upload_discarded'"),
        ("actor, action, org_id", f"session_user, 'grant_refused', '{org}'"),
        ("actor, action, subject_id", f"session_user, 'grant_refused', '{org}'"),
    ):
        with shared.connect() as admin, admin.transaction(force_rollback=True):
            admin.execute("SET LOCAL ROLE recording_refusal_reporter")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(f"INSERT INTO public.audit_log ({columns}) VALUES ({values})")


def test_a_key_that_was_never_installed_is_told_from_one_that_was(database: Database) -> None:
    stranger = GrantKey.generate()
    grant = signed(stranger, claims(uuid4()))
    assert report(database, grant) == "unknown_key"
    grant_keys.install(database.url(), stranger.kid, stranger.secret)
    assert report(database, grant) is None

"""Providers' credentials in the database: who may do what with them, and the trail that it leaves."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.database import Database
from workers.credentials import Credentials, SealKey, seal, unseal
from workers.integrations import Desk, Rotation, integrations

KEY = SealKey("k-one", bytes(32))
NEW = SealKey("k-two", bytes(31) + b"2")
SECRET = Credentials(username="AC1", secret="hush-hush")
VALUE = seal(KEY, UUID(int=1), "twilio", SECRET)


@pytest.fixture
def connection(shared: Database) -> Iterator[psycopg.Connection[Any]]:
    with shared.connect("recording_ops") as connection:
        yield connection


@pytest.fixture
def desk(connection: psycopg.Connection[Any]) -> Desk:
    return Desk(connection, "ticket 4711", "ada")


@pytest.fixture
def org(shared: Database) -> UUID:
    return shared.organisation()


def value(shared: Database, org: UUID, provider: str = "twilio") -> bytes:
    return bytes(
        shared.one("SELECT sealed_credentials FROM integrations WHERE org_id = %s AND provider = %s", org, provider)
    )


def trail(shared: Database, org: UUID) -> list[Any]:
    return shared.all("SELECT action, detail FROM audit_log WHERE org_id = %s ORDER BY id", org)


# What is done, and its trace -----------------------------------------------------------------------------------------


def test_credentials_are_stored_replaced_opened_and_removed_and_each_leaves_a_trace(
    shared: Database, desk: Desk, org: UUID
) -> None:
    assert desk.store(KEY, org, "twilio", SECRET) == "stored"
    assert desk.store(NEW, org, "twilio", SECRET) == "replaced"
    assert desk.opened([NEW], org, "twilio") == SECRET
    assert desk.remove(org, "twilio")
    assert not desk.remove(org, "twilio")
    assert desk.opened([NEW], org, "twilio") is None
    who = {"provider": "twilio", "unverified_actor": "ada"}
    assert trail(shared, org) == [
        ("integration_set", who | {"key_id": "k-one"}),
        ("integration_set", who | {"key_id": "k-two", "replaced": "k-one"}),
        ("integration_announced", who | {"key_id": "k-two"}),
        ("integration_removed", who | {"key_id": "k-two"}),
    ]
    assert shared.all("SELECT DISTINCT actor, reason FROM audit_log WHERE org_id = %s", org) == [
        ("recording_ops", "ticket 4711")
    ]
    told = str(shared.all("SELECT audit_log FROM audit_log WHERE org_id = %s", org))
    assert "hush" not in told
    assert VALUE[20:].hex() not in told


def test_operators_see_whose_and_under_which_key_and_never_the_value(
    shared: Database, connection: psycopg.Connection[Any], desk: Desk, org: UUID
) -> None:
    desk.store(KEY, org, "vapi", Credentials("key"))
    (found,) = integrations(connection, org)
    assert (found.org_id, found.provider, found.key_id) == (org, "vapi", "k-one")
    for statement in ("SELECT sealed_credentials FROM integrations", "SELECT * FROM integrations"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_a_value_is_read_only_after_its_trace_is_committed(
    shared: Database, connection: psycopg.Connection[Any], desk: Desk, org: UUID
) -> None:
    """Announcing and reading in one transaction, which may be rolled back, gives nothing; nor does a savepoint help."""
    desk.store(KEY, org, "twilio", SECRET)
    announce = ("SELECT announce_integration(%s, 'twilio', 'r')", (org,))
    read = "SELECT announced_integration(%s, %s)"
    with connection.transaction(force_rollback=True), connection.transaction():
        (announced,) = connection.execute(*announce).fetchone() or (None,)
        assert announced is not None
        assert connection.execute(read, (org, announced)).fetchone() == (None,)
    assert connection.execute(read, (org, announced)).fetchone() == (None,), "what was rolled back was never announced"
    (announced,) = connection.execute(*announce).fetchone() or (None,)
    assert connection.execute(read, (org, announced)).fetchone() == (value(shared, org),)
    other = shared.organisation()
    desk.store(KEY, other, "twilio", SECRET)
    assert connection.execute(read, (other, announced)).fetchone() == (None,)


def test_an_announcement_is_for_the_login_that_made_it_for_minutes_and_for_nothing_else(
    shared: Database, connection: psycopg.Connection[Any], desk: Desk, org: UUID
) -> None:
    desk.store(KEY, org, "twilio", SECRET)
    which = shared.one("SELECT id FROM integrations WHERE org_id = %s", org)
    rows = [
        ("recording_ops", "integration_announced", "6 minutes"),
        ("postgres", "integration_announced", "1 minute"),
        ("recording_ops", "integration_set", "1 minute"),
    ]
    for actor, action, age in rows:
        made = shared.one(
            "INSERT INTO audit_log (org_id, actor, action, subject_id, at) "
            "VALUES (%s, %s, %s, %s, now() - %s::interval) RETURNING id",
            *(org, actor, action, which, age),
        )
        found = connection.execute("SELECT announced_integration(%s, %s)", (org, made)).fetchone()
        assert found == (None,), (actor, action, age)
    for nothing in ((org, None), (None, None)):
        assert connection.execute("SELECT announced_integration(%s, %s)", nothing).fetchone() == (None,)


# Sealing again -------------------------------------------------------------------------------------------------------


def test_everything_is_sealed_again_and_opens_with_the_new_key_alone(shared: Database, desk: Desk) -> None:
    orgs = [shared.organisation() for _ in range(3)]
    for org in orgs:
        desk.store(KEY, org, "twilio", SECRET)
    rotation = Rotation(desk, (NEW, KEY))
    todo = [one for one in rotation.left() if one.org_id in orgs]
    next(rotation.over(todo))
    assert len([one for one in Rotation(desk, (NEW, KEY)).left() if one.org_id in orgs]) == 2, "it goes on"
    todo = [one for one in rotation.left() if one.org_id in orgs]
    assert len(list(rotation.over(todo))) == 2
    assert rotation.results == {"resealed": 3}
    for org in orgs:
        assert unseal([NEW], org, "twilio", value(shared, org)) == SECRET


def test_a_newer_value_is_never_overwritten_by_an_older(
    shared: Database, connection: psycopg.Connection[Any], desk: Desk, org: UUID
) -> None:
    desk.store(KEY, org, "twilio", SECRET)
    before = value(shared, org)
    newer = Credentials(username="AC1", secret="newer")
    desk.store(KEY, org, "twilio", newer)
    statement = "SELECT reseal_integration(%s, 'twilio', %s, %s, 'r')"
    assert connection.execute(statement, (org, before, VALUE)).fetchone() == ("changed",)
    assert unseal([KEY], org, "twilio", value(shared, org)) == newer
    assert connection.execute(statement, (shared.organisation(), before, VALUE)).fetchone() == ("not_found",)


def test_what_no_key_opens_stays_as_it_is_and_is_named(shared: Database, desk: Desk, org: UUID) -> None:
    desk.store(KEY, org, "twilio", SECRET)
    desk.store(KEY, org, "vapi", SECRET)
    shared.run(
        "UPDATE integrations SET sealed_credentials = (SELECT sealed_credentials FROM integrations "
        "WHERE org_id = %s AND provider = 'twilio') WHERE org_id = %s AND provider = 'vapi'",
        *(org, org),
    )
    copied, rotation = value(shared, org, "vapi"), Rotation(desk, (NEW, KEY))
    list(rotation.over([one for one in rotation.left() if one.org_id == org]))
    assert rotation.results == {"resealed": 1, "unopenable": 1}
    assert [one.provider for one in rotation.unopenable] == ["vapi"]
    assert value(shared, org, "vapi") == copied


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"org": uuid4()}, "no organisation has the id"),
        ({"org": None}, "no organisation has the id"),
        ({"provider": "Twilio"}, "provider must be"),
        ({"provider": None}, "provider must be"),
        ({"sealed": b"AC1:hush-hush"}, "not sealed"),
        ({"sealed": b""}, "not sealed"),
        ({"sealed": b"\x01\xff"}, "not sealed"),
        ({"sealed": None}, "not sealed"),
        ({"sealed": VALUE + bytes(20_000)}, "not sealed"),
        ({"reason": " \n"}, "reason must be"),
        ({"reason": None}, "reason must be"),
        ({"reason": "x" * 501}, "reason must be"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_stored(
    shared: Database, connection: psycopg.Connection[Any], org: UUID, changes: dict[str, Any], complaint: str
) -> None:
    given_ = {"org": org, "provider": "twilio", "sealed": VALUE, "reason": "r"} | changes
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=complaint) as caught:
        connection.execute("SELECT set_integration(%(org)s, %(provider)s, %(sealed)s, %(reason)s)", given_)
    assert "hush" not in str(caught.value)
    assert shared.one("SELECT count(*) FROM integrations WHERE org_id = %s", org) == 0
    assert trail(shared, org) == []


@given(st.binary(max_size=300))
def test_the_key_s_id_is_read_from_any_bytes(shared: Database, sealed: bytes) -> None:
    """As the workers read it, or null; never an error, for a row that somebody else wrote must not break the table."""
    found = shared.one("SELECT app.seal_key_id(%s)", sealed)
    if found is not None:
        assert sealed[0] == 1
        assert sealed[2 : 2 + sealed[1]] == found.encode()


def test_the_key_s_id_is_what_the_value_was_sealed_with(shared: Database) -> None:
    for kid in ("k", "s1b2c3d4", "K" * 64, "2026-11.a_b"):
        assert shared.one("SELECT app.seal_key_id(%s)", seal(SealKey(kid, bytes(32)), UUID(int=1), "x", SECRET)) == kid


# Who may not ---------------------------------------------------------------------------------------------------------


def test_users_never_come_near_a_sealed_value(shared: Database, desk: Desk, org: UUID) -> None:
    desk.store(KEY, org, "twilio", SECRET)
    for role in ("authenticated", "anon"):
        assert not shared.one("SELECT has_column_privilege(%s, 'integrations', 'sealed_credentials', 'SELECT')", role)
        assert not shared.one("SELECT has_column_privilege(%s, 'integrations', 'key_id', 'SELECT')", role)
        assert not shared.one("SELECT has_any_column_privilege(%s, 'integrations', 'INSERT, UPDATE')", role)
        assert not shared.one("SELECT has_table_privilege(%s, 'integrations', 'DELETE, TRUNCATE')", role)


def test_a_worker_reads_its_own_organisation_s_value_and_no_other_s(shared: Database, desk: Desk, org: UUID) -> None:
    other = shared.organisation()
    for one in (org, other):
        desk.store(KEY, one, "twilio", SECRET)
    with shared.connect("recording_worker") as worker:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT sealed_credentials FROM integrations")
        with worker.transaction():
            worker.execute("SELECT set_config('app.task_grant', %s, true)", (shared.grant(org),))
            seen = worker.execute("SELECT sealed_credentials FROM integrations").fetchall()
            assert seen == [(value(shared, org),)]
            for statement in (
                "UPDATE integrations SET sealed_credentials = NULL",
                "DELETE FROM integrations",
                "INSERT INTO integrations (org_id, provider) VALUES (gen_random_uuid(), 'x')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), worker.transaction():
                    worker.execute(statement)


@pytest.mark.parametrize("login", ["recording_dispatcher", "call_handler", "authenticator"])
def test_the_other_logins_see_nothing_of_them(shared: Database, login: str) -> None:
    with shared.connect(login) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT FROM integrations")


def test_the_functions_role_touches_the_organisation_that_is_named_and_no_other(
    shared: Database, desk: Desk, org: UUID
) -> None:
    other = shared.organisation()
    for one in (org, other):
        desk.store(KEY, one, "twilio", SECRET)
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        admin.execute("SET LOCAL ROLE recording_integrator")
        assert admin.execute("SELECT id FROM integrations").fetchall() == []
        admin.execute("SELECT set_config('app.named_org_id', %s, true)", (str(org),))
        assert admin.execute("SELECT org_id FROM integrations").fetchall() == [(org,)]
        assert admin.execute("SELECT id FROM organizations").fetchall() == [(org,)]
        assert admin.execute("DELETE FROM integrations WHERE org_id = %s", (other,)).rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
            admin.execute(
                "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, 'vapi', %s)",
                (other, VALUE),
            )


@pytest.mark.parametrize("written", [{"actor": "somebody_else"}, {"org": None}, {"action": "upload_retried"}])
def test_the_functions_role_cannot_write_a_false_trace(shared: Database, org: UUID, written: dict[str, Any]) -> None:
    row = {"org": org, "actor": "postgres", "action": "integration_set"}
    statement = "INSERT INTO audit_log (org_id, actor, action) VALUES (%(org)s, %(actor)s, %(action)s)"
    with shared.connect() as admin, admin.transaction(force_rollback=True):
        admin.execute("SET LOCAL ROLE recording_integrator")
        admin.execute("SELECT set_config('app.named_org_id', %s, true)", (str(org),))
        admin.execute(statement, row)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), admin.transaction():
            admin.execute(statement, row | written)

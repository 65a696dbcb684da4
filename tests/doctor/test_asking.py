"""The doctor at real servers: each thing broken in turn, and what it says of it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.commands.flower import LOGIN, flower, valkey
from tests.commands.tls import encrypted
from tests.database import Database
from tests.waiting import until
from workers.credentials import Credentials, SealKey, seal
from workers.doctor.examination import examine
from workers.doctor.patient import PASSWORDS, Patient
from workers.doctor.result import Result, Verdict
from workers.embedded import ports

PLACES = ("DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET", "FLOWER_URL")


def look(**settings: str) -> dict[str, list[Result]]:
    """By check, and that nothing it says holds a secret."""
    found: dict[str, list[Result]] = {}
    for result in examine(Patient(settings)):
        found.setdefault(result.check, []).append(result)
        said = result.sentence + result.remedy
        assert not any(value in said for name, value in settings.items() if "PASSWORD" in name or "KEY" in name)
    return found


def wrong(found: dict[str, list[Result]]) -> set[str]:
    return {check for check, results in found.items() if any(one.verdict == Verdict.WRONG for one in results)}


def database_settings(database: Database) -> dict[str, str]:
    passwords = {name: database.passwords[login] for name, login in PASSWORDS.items()}
    return {"DATABASE_URL": database.url(), "RECORDINGS_GRANT_KEY": database.key.text} | passwords


# A database alone: nobody works on it.
IDLE = {"work.dispatcher", "work.workers"}


def test_a_database_that_is_well(shared: Database) -> None:
    assert wrong(look(**database_settings(shared))) == IDLE


@pytest.mark.parametrize(
    ("statement", "check", "said"),
    [
        ("ALTER TABLE call_logs NO FORCE ROW LEVEL SECURITY", "database.rls_not_forced", "call_logs"),
        ("ALTER TABLE call_logs DISABLE ROW LEVEL SECURITY", "database.policies_asleep", "call_logs"),
        ("CREATE POLICY p ON call_logs TO authenticated USING (true)", None, "call_logs"),
        ("UPDATE app.alembic_version SET version_num = '0003_context'", "database.migrations", "0003_context"),
        ("DELETE FROM app.grant_keys", "keys.grants", "no grant key is valid"),
        ("UPDATE app.grant_keys SET inner_pad = outer_pad", "keys.dispatcher", "is refused"),
    ],
)
def test_what_is_broken_in_the_database_is_named(
    database: Database, statement: str, check: str | None, said: str
) -> None:
    database.run(statement)
    found = look(**database_settings(database))
    broken = wrong(found) - IDLE
    assert broken
    assert check is None or check in broken
    assert any(said in one.sentence and one.remedy for name in broken for one in found[name])


@pytest.fixture
def altered(shared: Database) -> Iterator[Callable[[str, str], None]]:
    """Roles belong to the cluster: what is done to them is undone."""
    undone: list[str] = []

    def alter(do: str, undo: str) -> None:
        shared.run(do)
        undone.append(undo)

    yield alter
    for statement in undone:
        shared.run(statement)


def test_a_login_that_bypasses_is_wrong(shared: Database, altered: Callable[[str, str], None]) -> None:
    altered("ALTER ROLE recording_worker BYPASSRLS", "ALTER ROLE recording_worker NOBYPASSRLS")
    assert "database.role_bypasses" in wrong(look(**database_settings(shared)))


def test_a_login_without_a_password_is_wrong(shared: Database, altered: Callable[[str, str], None]) -> None:
    kept = shared.one("SELECT rolpassword FROM pg_authid WHERE rolname = 'recording_worker'")
    altered("ALTER ROLE recording_worker PASSWORD NULL", f"ALTER ROLE recording_worker PASSWORD '{kept}'")
    broken = wrong(look(**database_settings(shared)))
    assert {"logins.passwords", "logins.recording_worker"} <= broken


def test_a_login_with_another_password_than_was_set_is_wrong(shared: Database) -> None:
    broken = wrong(look(**(database_settings(shared) | {"RECORDINGS_OPS_PASSWORD": "another"})))
    assert "logins.recording_ops" in broken


def test_a_server_that_trusts_everybody_is_wrong(shared: Database) -> None:
    """Its pg_hba.conf as some images have it for the network."""
    file = Path(shared.one("SHOW hba_file"))
    kept = file.read_text()
    try:
        file.write_text("host all all 127.0.0.1/32 trust\n")
        shared.run("SELECT pg_reload_conf()")
        until(lambda: "logins.guarded" in wrong(look(DATABASE_URL=shared.url())))
    finally:
        file.write_text(kept)
        shared.run("SELECT pg_reload_conf()")
    until(lambda: "logins.guarded" not in wrong(look(DATABASE_URL=shared.url())))


def test_credentials_that_no_key_opens_are_wrong(database: Database) -> None:
    org, key = database.organisation(), SealKey.generate()
    sealed = seal(key, org, "twilio", Credentials("hush"))
    database.run(
        "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, 'twilio', %s)", org, sealed
    )
    settings = database_settings(database)
    assert "keys.seal" not in wrong(look(**settings, RECORDINGS_SEAL_KEY=key.text))
    assert "keys.seal" in wrong(look(**settings, RECORDINGS_SEAL_KEY=SealKey.generate().text))


def test_an_empty_database_is_told_to_migrate(shared: Database) -> None:
    found = look(DATABASE_URL=shared.postgres.url(database="postgres"))
    (migrations,) = found["database.migrations"]
    assert (migrations.verdict, migrations.remedy) == (Verdict.WRONG, "run: recordings migrate")
    assert found["database.isolation"][0].verdict == Verdict.UNSEEN


@pytest.mark.parametrize("login", ["recording_ops", "recording_worker", "recording_dispatcher", "call_handler"])
def test_with_a_lesser_login_it_says_what_it_could_not_look_at(shared: Database, login: str) -> None:
    found = look(DATABASE_URL=shared.url(login))
    assert wrong(found) <= IDLE
    assert found["logins.passwords"][0].verdict == Verdict.UNSEEN
    assert found["keys.grants"][0].verdict == Verdict.UNSEEN
    assert found["database.isolation"][0].verdict == Verdict.OK


def test_what_is_late_and_who_does_not_work(database: Database) -> None:
    upload = database.enqueue(database.organisation())
    database.run(
        "UPDATE recording_upload_queue SET next_attempt_at = now() - interval '2 h' WHERE id = %s", upload.upload_id
    )
    found = look(**database_settings(database))
    assert wrong(found) == IDLE | {"work.oldest"}
    assert "120 min" in found["work.oldest"][0].sentence


# The broker ----------------------------------------------------------------------------------------------------------

DOCTOR = "ACL SETUSER doctor on >pw ~* &* +@all"


@pytest.mark.parametrize(
    ("commands", "check", "verdict"),
    [
        ([DOCTOR, "ACL SETUSER default off"], "broker.users", Verdict.OK),
        ([], "broker.users", Verdict.WARNING),
        (["CONFIG SET appendonly no"], "broker.persistence", Verdict.WARNING),
        (["CONFIG SET maxmemory-policy allkeys-lru"], "broker.eviction", Verdict.WRONG),
        ([DOCTOR, "ACL SETUSER default nopass"], "broker.closed", Verdict.WRONG),
        (["ACL SETUSER default -info -acl"], "broker.settings", Verdict.UNSEEN),
    ],
)
def test_the_broker(tmp_path: Path, commands: list[str], check: str, verdict: Verdict) -> None:
    with valkey(tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            for command in commands:
                client.execute_command(*command.split())
        login = "doctor" if DOCTOR in commands else ""
        found = look(REDIS_URL=server.url.replace("//:", f"//{login}:"))
    assert found[check][0].verdict == verdict
    assert wrong(found) == ({check} if verdict == Verdict.WRONG else set())


def test_a_broker_that_refuses_the_login_is_wrong(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        found = look(REDIS_URL=server.url.replace(":pw@", ":hush@"))
    assert wrong(found) == {"broker"}
    assert "hush" not in found["broker"][0].sentence


def test_tls_to_the_broker_is_seen_and_verified(tmp_path: Path) -> None:
    with valkey(tmp_path) as server, encrypted(tmp_path, server.port) as (port, authority):
        url = f"rediss://:pw@localhost:{port}/0"
        (said,) = look(REDIS_URL=f"{url}?ssl_ca_certs={authority}")["broker.encrypted"]
        assert (said.verdict, "verified" in said.sentence) == (Verdict.OK, True)
        assert wrong(look(REDIS_URL=url)) == {"broker"}


# Flower --------------------------------------------------------------------------------------------------------------


def test_flower_as_we_start_it_is_closed_and_as_celery_does_is_not(tmp_path: Path) -> None:
    with valkey(tmp_path) as broker:
        with flower(tmp_path, broker.url, FLOWER_BASIC_AUTH=LOGIN) as running:
            url = f"http://127.0.0.1:{running.port}"
            found = look(FLOWER_URL=url, FLOWER_BASIC_AUTH=LOGIN)
            assert [found[name][0].verdict for name in ("flower.closed", "flower.login")] == [Verdict.OK] * 2
            assert wrong(look(FLOWER_URL=url, FLOWER_BASIC_AUTH="nurse:another-password")) == {"flower.login"}
        port = ports.pick(1)[0]
        bare = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "tasks", "flower", f"--port={port}", "--address=127.0.0.1"],
            env=os.environ | {"REDIS_URL": broker.url, "FLOWER_BASIC_AUTH": LOGIN},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: ports.is_listening(port))
            (found_open,) = look(FLOWER_URL=f"http://127.0.0.1:{port}")["flower.closed"]
        finally:
            bare.terminate()
            bare.wait(20)
        assert found_open.verdict == Verdict.WRONG
        assert "/metrics, /healthcheck" in found_open.sentence


# Parts that are away -------------------------------------------------------------------------------------------------


def test_every_part_that_is_away_is_a_finding_and_none_hides_the_next() -> None:
    (port,) = ports.pick(1)
    found = look(
        DATABASE_URL=f"postgresql://u:hush@127.0.0.1:{port}/x",
        REDIS_URL=f"redis://:hush@127.0.0.1:{port}/0",
        RECORDINGS_BUCKET="recordings",
        AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}",
        AWS_ACCESS_KEY_ID="hush",
        AWS_SECRET_ACCESS_KEY="hush",
        FLOWER_URL=f"http://127.0.0.1:{port}",
    )
    assert wrong(found) == {"database", "broker", "bucket.reached", "flower.closed"}
    assert not any("hush" in one.sentence for results in found.values() for one in results)


@pytest.mark.parametrize("bad", ["nonsense", "http://[", "rediss://x?ssl_ca_certs=/no", "postgresql://h:port/x"])
def test_settings_that_make_no_sense_are_findings(bad: str) -> None:
    found = look(DATABASE_URL=bad, REDIS_URL=bad, RECORDINGS_BUCKET="b", AWS_ENDPOINT_URL_S3=bad, FLOWER_URL=bad)
    assert {"database", "broker", "bucket"} <= {name.partition(".")[0] for name in wrong(found)}


def test_what_is_not_set_is_said_to_be_not_checked() -> None:
    found = look()
    assert {one.sentence for results in found.values() for one in results if one.verdict == Verdict.UNSEEN} >= {
        f"not checked: {name} is not set" for name in PLACES
    }


def test_with_nothing_to_look_at_it_says_what_to_set(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    refused = subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor"],
        env=environment | {"PYTHONPATH": str(Path.cwd())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert all(name in refused.stderr for name in PLACES)
    assert "Traceback" not in refused.stderr

"""`recordings keys`, as an administrator types it."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner, Result

from schema.tenancy import run_as_task
from tests.database import Database
from workers.cli import app
from workers.grants import GrantKey, mint

LOOK = "SELECT id FROM public.recording_upload_queue"


@pytest.fixture
def keys(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Keys":
    # No stack runs on the folder at hand.
    monkeypatch.chdir(tmp_path)
    return Keys(database)


class Keys:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.org = database.organisation()
        self.upload: UUID = database.enqueue(self.org).upload_id

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["keys", *arguments], env={"DATABASE_URL": self.database.url()})

    def json(self, *arguments: str) -> Any:
        said = self(*arguments, "--json")
        assert said.exit_code == 0, said.output
        return json.loads(said.stdout)

    def opens(self, key: GrantKey) -> bool:
        """Whether a worker sees its organisation's row by a grant of this key."""
        grant = mint(key, org_id=self.org, subject=self.upload, now_s=time.time(), lifetime_s=60)
        try:
            return bool(run_as_task(self.database.engine("recording_worker"), grant, LOOK, {}))
        except psycopg.errors.InsufficientPrivilege:
            return False

    def audited(self) -> list[Any]:
        return self.database.all("SELECT actor, action, reason, detail FROM audit_log WHERE org_id IS NULL ORDER BY id")


def test_keys_are_listed_with_their_ages_and_ends_and_without_their_secrets(keys: Keys) -> None:
    keys.database.run("UPDATE app.grant_keys SET created_at = now() - interval '100 days'")
    made = keys.json("rotate", "--overlap", "7200")
    new, old = keys.json("list")
    assert (new["kid"], new["is_live"], new["expires_at"]) == (made["kid"], True, None)
    assert (old["kid"], old["is_live"]) == (keys.database.key.kid, True)
    assert old["age_s"] == pytest.approx(100 * 86_400, abs=60)
    assert 7_100 < old["left_s"] <= 7_200
    shown = keys("list").stdout
    assert "100 days" in shown
    assert "119 minutes more" in shown
    assert GrantKey.parse(made["grant_key"]).text.partition(":")[2] not in shown


def test_rotation_overlaps_and_a_leak_ends_every_other_key_at_once(keys: Keys) -> None:
    old = keys.database.key
    new = GrantKey.parse(keys.json("rotate")["grant_key"])
    assert keys.opens(old)
    assert keys.opens(new)
    newest = GrantKey.parse(keys.json("rotate", "--overlap", "0")["grant_key"])
    assert [keys.opens(key) for key in (old, new, newest)] == [False, False, True]
    assert [(action, detail["kid"]) for _, action, _, detail in keys.audited()] == [
        ("grant_key_rotated", new.kid),
        ("grant_key_rotated", newest.kid),
    ]


def test_a_revoked_key_opens_nothing_from_then_on_and_is_audited_once(keys: Keys) -> None:
    old, new = keys.database.key, GrantKey.parse(keys.json("rotate")["grant_key"])
    assert keys.json("revoke", old.kid, "--reason", "laptop stolen, ticket 12") == {"kid": old.kid, "was_live": True}
    assert [keys.opens(old), keys.opens(new)] == [False, True]
    assert keys.json("revoke", old.kid, "--reason", "again") == {"kid": old.kid, "was_live": False}
    rotated, *revoked = keys.audited()
    assert rotated[1] == "grant_key_rotated"
    assert revoked == [("postgres", "grant_key_revoked", "laptop stolen, ticket 12", {"kid": old.kid})]


def test_the_only_live_key_is_revoked_only_on_purpose(keys: Keys) -> None:
    only = keys.database.key
    refused = keys("revoke", only.kid, "--reason", "r")
    assert refused.exit_code == 2
    assert "no other key is live" in refused.stderr
    assert "recordings keys rotate" in refused.stderr
    assert keys.opens(only)
    assert keys("revoke", only.kid, "--reason", "r", "--yes").exit_code == 0
    assert not keys.opens(only)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nobody", "--reason", "r"), 1, "no grant key has the id nobody"),
        (("nobody",), 2, "--reason"),
        (("nobody", "--reason", " "), 2, "say why"),
        (("nobody", "--reason", "x" * 501), 2, "at most 500"),
    ],
)
def test_what_cannot_be_revoked_is_said(keys: Keys, arguments: tuple[str, ...], code: int, said: str) -> None:
    refused = keys("revoke", *arguments)
    assert refused.exit_code == code
    assert said in " ".join(refused.stderr.split())
    assert keys.audited() == []


def test_a_revoked_key_is_not_brought_back_by_the_next_migration(keys: Keys) -> None:
    key = keys.database.key
    keys("revoke", key.kid, "--reason", "r", "--yes")
    settings = {"DATABASE_URL": keys.database.url(), "RECORDINGS_GRANT_KEY": key.text}
    assert CliRunner().invoke(app, ["migrate"], env=settings).exit_code == 0
    assert not keys.opens(key)

"""``recordings integrations``, as operators use it, against a real database and a stand-in of each provider."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner, Result

from tests.database import Database
from workers.cli import app
from workers.credentials import Credentials, SealKey, seal, unseal
from workers.demo.behaviours import basic_auth, bearer, redirect, status
from workers.demo.provider import Provider
from workers.sources import ACCOUNTS, Twilio, Vapi

SID = "AC" + "0a" * 16
TOKEN = "hush-hush-token"


@dataclass
class Counter:
    """The command as an operator runs it, with these seal keys."""

    database: Database
    org_id: UUID
    keys: tuple[SealKey, ...]

    def run(self, *arguments: object, secret: str = "") -> Result:
        environment = {
            "DATABASE_URL": self.database.url("recording_ops"),
            "RECORDINGS_SEAL_KEY": ",".join(key.text for key in self.keys),
            "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
        }
        result = CliRunner().invoke(app, ["integrations", *map(str, arguments)], env=environment, input=secret)
        assert TOKEN not in result.output
        assert not result.exception or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: object, code: int = 0, secret: str = "") -> dict[str, Any]:
        result = self.run(*arguments, "--json", secret=secret)
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def set(self, provider: str = "vapi", *, org_id: UUID | None = None) -> None:
        username = ("--username", SID) if provider == "twilio" else ()
        result = self.run("set", org_id or self.org_id, provider, *username, secret=TOKEN)
        assert result.exit_code == 0, result.output

    def stored(self, provider: str) -> Credentials:
        query = "SELECT sealed_credentials FROM integrations WHERE org_id = %s AND provider = %s"
        return unseal(self.keys, self.org_id, provider, self.database.one(query, self.org_id, provider))


@pytest.fixture
def counter(database: Database) -> Counter:
    return Counter(database, database.organisation("Clinic [bold]North"), (SealKey.generate(),))


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Both providers' own hosts are on loopback here."""
    with Provider() as provider:
        here = {
            "twilio": Twilio(api=provider.url, hosts=("127.0.0.1",)),
            "vapi": Vapi(api=provider.url, hosts=("127.0.0.1",)),
        }
        monkeypatch.setattr("workers.cli.integrations.ACCOUNTS", here)
        yield provider


def test_credentials_are_set_from_standard_input_and_listed_without_their_value(counter: Counter) -> None:
    key = counter.keys[0]
    done = counter.json("set", counter.org_id, "twilio", "--username", SID, secret=f"{TOKEN}\n")
    assert done == {"org_id": str(counter.org_id), "provider": "twilio", "key_id": key.kid, "result": "stored"}
    assert counter.stored("twilio") == Credentials(secret=TOKEN, username=SID)
    again = counter.run("set", counter.org_id, "twilio", "--username", SID, "--reason", "ticket 4711", secret=TOKEN)
    assert f"replaced, sealed under {key.kid}" in again.stdout
    listed = counter.run("list")
    assert "Clinic [bold]North" in listed.stdout
    (found,) = counter.json("list", "--org", counter.org_id)["integrations"]
    assert (found["provider"], found["key_id"]) == ("twilio", key.kid)
    assert found["age_s"] < 600
    assert "credentials" not in str(found)
    assert counter.json("list", "--org", uuid4()) == {"integrations": []}
    reasons = counter.database.all("SELECT reason FROM audit_log WHERE action = 'integration_set' ORDER BY id")
    assert reasons == [("set by hand",), ("ticket 4711",)]


def test_a_person_is_asked_without_an_echo(counter: Counter) -> None:
    person, terminal = pty.openpty()
    environment = {
        "DATABASE_URL": counter.database.url("recording_ops"),
        "RECORDINGS_SEAL_KEY": counter.keys[0].text,
    }
    command = [sys.executable, "-m", "workers.cli", "integrations", "set", str(counter.org_id), "vapi"]
    asked = subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | environment,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    for prompt in (b"secret: ", b"confirmation: "):  # the last blank comes when the echo is off
        while prompt not in shown:
            shown += os.read(person, 1024)
        os.write(person, f"{TOKEN}\n".encode())
    while b"stored" not in shown:
        shown += os.read(person, 1024)
    assert asked.wait(timeout=60) == 0
    os.close(person)
    assert TOKEN.encode() not in shown
    assert counter.stored("vapi") == Credentials(secret=TOKEN)


@pytest.mark.parametrize(
    ("arguments", "secret", "code", "said"),
    [
        (("vapi",), "", 2, "secret is empty"),
        (("vapi",), "\n", 2, "secret is empty"),
        (("vapi",), "a b", 2, "spaces"),
        (("vapi",), "a\r\nX-Injected: y", 2, "line breaks"),
        (("vapi",), "clé", 2, "characters"),
        (("vapi",), "x" * 5000, 2, "more than 4096"),
        (("vapi", "--username", "me"), TOKEN, 2, "no username"),
        (("twilio",), TOKEN, 2, "account SID"),
        (("twilio", "--username", "AC1/../../x"), TOKEN, 2, "account SID"),
        (("https",), TOKEN, 2, "twilio and vapi only"),
        (("retell",), TOKEN, 2, "twilio and vapi only"),
        (("vapi", TOKEN), TOKEN, 2, "unexpected extra argument"),
    ],
)
def test_what_cannot_be_credentials_is_refused(
    counter: Counter, arguments: tuple[str, ...], secret: str, code: int, said: str
) -> None:
    result = CliRunner().invoke(
        app,
        ["integrations", "set", str(counter.org_id), *arguments],
        env={"DATABASE_URL": counter.database.url("recording_ops"), "RECORDINGS_SEAL_KEY": counter.keys[0].text},
        input=secret,
    )
    assert result.exit_code == code
    assert said in " ".join(result.output.replace("│", " ").split()).lower().replace("account sid", "account SID")
    assert counter.database.one("SELECT count(*) FROM integrations") == 0


def test_an_organisation_must_exist(counter: Counter) -> None:
    program = [sys.executable, "-m", "workers.cli", "integrations", "set", str(uuid4()), "vapi"]
    environment = {"DATABASE_URL": counter.database.url("recording_ops"), "RECORDINGS_SEAL_KEY": counter.keys[0].text}
    done = subprocess.run(
        program, input=TOKEN, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no organisation has the id")
    assert "Traceback" not in done.stderr


def test_without_the_seal_key_it_is_said_that_it_is_missing(counter: Counter) -> None:
    program = [sys.executable, "-m", "workers.cli", "integrations", "set", str(counter.org_id), "vapi"]
    environment = {name: value for name, value in os.environ.items() if name != "RECORDINGS_SEAL_KEY"}
    environment["DATABASE_URL"] = counter.database.url("recording_ops")
    done = subprocess.run(
        program, input=TOKEN, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "RECORDINGS_SEAL_KEY: is not set" in done.stderr


# Asking the provider -------------------------------------------------------------------------------------------------


def test_a_provider_that_knows_them_says_so(counter: Counter, provider: Provider) -> None:
    counter.set("twilio")
    counter.set("vapi")
    provider.add(f"/2010-04-01/Accounts/{SID}.json", b'{"auth_token": "x"}', basic_auth(SID, TOKEN))
    provider.add("/assistant?limit=1", b"[]", bearer(TOKEN))
    for name in ("twilio", "vapi"):
        answer = counter.json("test", counter.org_id, name)
        assert (answer["outcome"], answer["status"]) == ("ok", None)
    assert counter.run("test", counter.org_id, "vapi").stdout.startswith("ok: ")


@pytest.mark.parametrize(
    ("answer", "outcome", "code"),
    [
        (bearer("another"), "refused", 401),
        (status(403), "refused", 403),
        (status(404), "refused", 404),
        (status(429), "unclear", 429),
        (status(500), "unclear", 500),
        (status(503, retry_after="9"), "unclear", 503),
        (redirect("/elsewhere"), "unreachable", None),
    ],
)
def test_a_provider_that_does_not_is_told_from_one_that_cannot_be_asked(
    counter: Counter, provider: Provider, answer: Any, outcome: str, code: int | None
) -> None:
    counter.set()
    provider.add("/elsewhere", b"[]")
    provider.add("/assistant?limit=1", b"[]", answer)
    told = counter.json("test", counter.org_id, "vapi", code=1)
    assert (told["outcome"], told["status"]) == (outcome, code)
    assert not provider.asked("/elsewhere")


def test_nobody_there_is_unreachable(counter: Counter, provider: Provider) -> None:
    counter.set()
    provider.close()
    told = counter.json("test", counter.org_id, "vapi", code=1)
    assert told["outcome"] == "unreachable"
    assert "127.0.0.1" not in told["why"]


def test_credentials_go_to_the_provider_s_own_hosts_only(
    counter: Counter, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.cli.integrations.ACCOUNTS", {"vapi": Vapi(api=provider.url)})
    counter.set()
    counter.json("test", counter.org_id, "vapi", code=1)
    assert all("authorization" not in asked.headers for asked in provider.log)


def test_the_real_providers_are_asked_at_their_own_hosts() -> None:
    credentials = Credentials(secret=TOKEN, username=SID)
    for name, host in (("twilio", "api.twilio.com"), ("vapi", "api.vapi.ai")):
        probe = ACCOUNTS[name].probe(credentials)
        assert probe.url.startswith(f"https://{host}/")
        assert probe.authorization_for(host)
        assert TOKEN not in probe.url
        assert TOKEN not in repr(probe)


def test_what_does_not_open_is_not_sent(counter: Counter, provider: Provider) -> None:
    sealed = seal(counter.keys[0], uuid4(), "vapi", Credentials(TOKEN))
    counter.database.run(
        "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, 'vapi', %s)",
        *(counter.org_id, sealed),
    )
    result = counter.run("test", counter.org_id, "vapi")
    assert result.exit_code == 1
    assert "do not open" in result.output
    assert not provider.log


# Rotating, removing --------------------------------------------------------------------------------------------------


def test_a_key_is_rotated_with_overlap(counter: Counter) -> None:
    others = [counter.database.organisation() for _ in range(3)]
    old, new = counter.keys[0], SealKey.generate()
    for org in (counter.org_id, *others):
        counter.set(org_id=org)
    counter.keys = (new, old)
    assert counter.stored("vapi") == Credentials(TOKEN), "both open while both are there"
    assert counter.json("rotate") == {
        "key_id": new.kid,
        "resealed": 4,
        "is_complete": True,
        "remaining": 0,
        "unopenable": [],
    }
    again = counter.run("rotate")
    assert f"0 sealed again under {new.kid}, 0 remain" in again.stdout
    assert f"nothing needs {old.kid} any more" in again.stdout
    counter.keys = (new,)
    assert counter.stored("vapi") == Credentials(TOKEN), "the old key may go"


def test_what_no_key_opens_is_named_and_the_rest_is_done(counter: Counter) -> None:
    counter.set()
    counter.keys = (SealKey.generate(),)
    counter.set("twilio")
    counter.keys = (SealKey.generate(), *counter.keys)
    told = counter.json("rotate", code=1)
    assert (told["resealed"], told["remaining"], told["is_complete"]) == (1, 1, False)
    assert [one["provider"] for one in told["unopenable"]] == ["vapi"]
    assert "no key here opens these" in counter.run("rotate").stdout


def test_credentials_are_removed(counter: Counter) -> None:
    counter.set()
    assert counter.json("remove", counter.org_id, "vapi", "--reason", "they left")["result"] == "removed"
    assert counter.json("remove", counter.org_id, "vapi", code=1)["result"] == "not_found"
    assert counter.run("test", counter.org_id, "vapi").exit_code == 1
    assert counter.json("list") == {"integrations": []}

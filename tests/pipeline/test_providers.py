"""Twilio and Vapi as they behave, from the row to the object: sealed credentials, 404 until ready, errors as XML, a
short-lived URL on another host that is a new one at each attempt."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import pytest

from tests.database import Database
from tests.pipeline.s3_server import S3Server
from tests.waiting import until
from workers.credentials import Credentials, SealKey, seal
from workers.demo.behaviours import basic_auth, bearer, cut, error_xml, not_ready, redirect, status
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.pipeline import build_uploader
from workers.settings import WorkerSettings
from workers.sources import ADAPTERS, Adapter, Twilio, Vapi, resolve
from workers.upload import Uploader


@dataclass
class Clinic:
    """One organisation with a worker of its own, and the key that seals its credentials."""

    database: Database
    uploader: Uploader
    key: SealKey
    org_id: UUID

    def integrate(self, provider: str, credentials: Credentials, *, sealed_for: UUID | None = None) -> None:
        sealed = seal(self.key, sealed_for or self.org_id, provider, credentials)
        self.database.run(
            "INSERT INTO integrations (org_id, provider, sealed_credentials) VALUES (%s, %s, %s)",
            self.org_id,
            provider,
            sealed,
        )

    def attempt(self, upload_id: UUID) -> tuple[str, str | None]:
        """One attempt, due or not, as if it were rung for; how the row stands after it."""
        self.database.run(
            "UPDATE recording_upload_queue SET next_attempt_at = now(), dispatched_until = now() + interval '1 minute'"
            " WHERE id = %s",
            upload_id,
        )
        self.uploader.carry_out(self.database.grant(self.org_id), upload_id)
        row = self.database.one("SELECT status, error_code FROM recording_upload_queue WHERE id = %s", upload_id)
        return row[0], row[1]

    def sha256(self, upload_id: UUID) -> str:
        found: str = self.database.one("SELECT sha256 FROM recording_upload_queue WHERE id = %s", upload_id)
        return found


@pytest.fixture
def clinic(database: Database, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    """The real worker; only that the providers' own hosts are on loopback here."""
    key = SealKey.generate()
    settings = {
        "DATABASE_URL": database.url("recording_worker"),
        "REDIS_URL": "redis://localhost",
        "AWS_ACCESS_KEY_ID": s3_server.access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3_server.access.secret_access_key,
        "AWS_ENDPOINT_URL_S3": s3_server.access.endpoint_url,
        "AWS_DEFAULT_REGION": s3_server.access.region,
        "RECORDINGS_BUCKET": s3_server.access.bucket,
        "RECORDINGS_SEAL_KEY": key.text,
        "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    uploader = build_uploader(WorkerSettings.load(), worker="test", slots=2)
    yield Clinic(database, uploader, key, database.organisation())
    uploader.queue.engine.dispose()
    uploader.fetcher.close()
    uploader.store.close()


def at(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    local: dict[str, Adapter] = {
        "twilio": Twilio(hosts=("127.0.0.1",)),
        "vapi": Vapi(api=provider.url, hosts=("127.0.0.1",)),
    }
    monkeypatch.setattr("workers.upload.resolve", partial(resolve, adapters={**ADAPTERS, **local}))


def test_twilio_is_asked_with_the_organisations_own_credentials_until_the_recording_is_there(
    clinic: Clinic, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(provider, monkeypatch)
    clinic.integrate("twilio", Credentials(username="AC123", secret="token"))
    made = Recording(seed=1, size=30_000)
    url = provider.add("/Recordings/RE1.wav", made, basic_auth("AC123", "token"), not_ready(times=2))
    upload = clinic.database.enqueue(clinic.org_id, provider="twilio", source_url=url).upload_id
    assert [clinic.attempt(upload) for _ in range(2)] == [("pending", "source_not_ready")] * 2
    assert clinic.attempt(upload)[0] == "completed"
    assert clinic.sha256(upload) == hashlib.sha256(made.bytes()).hexdigest()
    assert clinic.database.one("SELECT failures FROM recording_upload_queue WHERE id = %s", upload) == 0


def test_twilios_error_page_is_never_the_recording(
    clinic: Clinic, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(provider, monkeypatch)
    url = provider.add("/Recordings/RE2.wav", b"", error_xml())
    upload = clinic.database.enqueue(clinic.org_id, provider="twilio", source_url=url).upload_id
    assert clinic.attempt(upload) == ("failed", "not_audio")


@pytest.mark.parametrize(
    ("stored", "code"), [(None, "credentials_missing"), ("wrong", "source_forbidden"), ("moved", "credentials_missing")]
)
def test_credentials_that_do_not_fit_are_for_the_operator(
    clinic: Clinic, provider: Provider, monkeypatch: pytest.MonkeyPatch, stored: str | None, code: str
) -> None:
    """None stored; the wrong ones; the right ones, copied from another organisation: they do not open."""
    at(provider, monkeypatch)
    if stored:
        secret = "other" if stored == "wrong" else "token"
        whose = uuid4() if stored == "moved" else None
        clinic.integrate("twilio", Credentials(username="AC123", secret=secret), sealed_for=whose)
    url = provider.add("/Recordings/RE3.wav", Recording(1, 30_000), basic_auth("AC123", "token"))
    upload = clinic.database.enqueue(clinic.org_id, provider="twilio", source_url=url).upload_id
    assert clinic.attempt(upload) == ("failed", code)


@pytest.mark.parametrize("copied_to", ["another organisation", "another provider"])
def test_a_sealed_value_that_was_copied_is_no_credentials_where_it_lies(
    clinic: Clinic, provider: Provider, monkeypatch: pytest.MonkeyPatch, copied_to: str
) -> None:
    """By somebody who may write to the table: the worker does not open it, and sends nothing to anybody."""
    at(provider, monkeypatch)
    clinic.integrate("twilio", Credentials(username="AC123", secret="token"))
    org_id = clinic.database.organisation() if copied_to == "another organisation" else clinic.org_id
    name = "vapi" if copied_to == "another provider" else "twilio"
    clinic.database.run(
        "INSERT INTO integrations (org_id, provider, sealed_credentials) "
        "SELECT %s, %s, sealed_credentials FROM integrations WHERE org_id = %s",
        *(org_id, name, clinic.org_id),
    )
    url = provider.add("/Recordings/RE4.wav", Recording(1, 30_000))
    upload = clinic.database.enqueue(org_id, provider=name, source_url=url).upload_id
    clinic.org_id = org_id
    assert clinic.attempt(upload) == ("failed", "credentials_missing")
    assert not provider.log
    told = clinic.database.one("SELECT error_message FROM failed_recording_uploads WHERE upload_id = %s", upload)
    assert "do not open" in told


def test_vapi_gives_another_short_lived_url_at_each_attempt_and_the_key_stays_behind(
    clinic: Clinic, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first URL breaks off and has expired by the second attempt, which asks the endpoint for a new one."""
    at(provider, monkeypatch)
    clinic.integrate("vapi", Credentials(secret="key"))
    made = Recording(seed=2, size=60_000)
    call = uuid4().hex
    with Provider() as bucket:
        first = bucket.add("/signed-1.wav", made, cut(10_000))
        endpoint = f"/call/{call}/mono-recording"
        provider.add(endpoint, b"", bearer("key"), redirect(first))
        upload = clinic.database.enqueue(
            clinic.org_id, provider="vapi", provider_call_id=call, source_url="https://expired.example/r.wav"
        ).upload_id
        assert clinic.attempt(upload) == ("pending", "source_truncated")
        bucket.add("/signed-1.wav", made, status(403))
        provider.add(endpoint, b"", bearer("key"), redirect(bucket.add("/signed-2.wav", made)))
        assert clinic.attempt(upload)[0] == "completed"
        assert clinic.sha256(upload) == hashlib.sha256(made.bytes()).hexdigest()
        until(lambda: len(bucket.asked("/signed-2.wav")) == 1)
        assert all("authorization" not in asked.headers for asked in bucket.log)
        assert {asked.headers.get("authorization") for asked in provider.asked(endpoint)} == {"Bearer key"}

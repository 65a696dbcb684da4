"""Settings: whatever is wrong is said at once, by the names of the variables, never with their values."""

import os

import pytest

from workers.credentials import SealKey
from workers.grants import GrantKey
from workers.settings import (
    DispatcherSettings,
    FlowerSettings,
    IntegrationsSettings,
    MigrateSettings,
    Settings,
    SettingsError,
    WorkerSettings,
)

DATABASE = "postgresql://recording_worker:hunter2hunter2@db.example/recordings"
REDIS = "redis://:hunter2hunter2@127.0.0.1/0"
KEY = GrantKey.generate().text
SEAL = f"k:{'hunter2hunter2'.ljust(43, 'A')}"
WORKER = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS, "RECORDINGS_BUCKET": "recordings"}
DISPATCHER = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS, "RECORDINGS_GRANT_KEY": KEY}
OURS = ("RECORDINGS_", "AWS_", "FLOWER_", "DATABASE_URL", "REDIS_URL")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    return monkeypatch


def given(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def refusal(settings: type[Settings]) -> str:
    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    return str(raised.value)


def test_a_worker_reads_its_own(environment: pytest.MonkeyPatch) -> None:
    given(
        environment, WORKER | {"RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8, fd00::/8", "RECORDINGS_LEASE_S": "5"}
    )
    settings = WorkerSettings.load()
    assert settings.lease_s == 5
    assert [str(network) for network in settings.private_source_networks] == ["127.0.0.0/8", "fd00::/8"]


def test_all_that_is_missing_is_said_at_once() -> None:
    said = refusal(WorkerSettings)
    for name in ("DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET"):
        assert f"{name}: is not set" in said


def test_an_empty_variable_is_a_missing_one(environment: pytest.MonkeyPatch) -> None:
    given(environment, WORKER | {"REDIS_URL": ""})
    assert "REDIS_URL: is not set" in refusal(WorkerSettings)


BAD = "hunter2hunter2"


@pytest.mark.parametrize(
    ("settings", "name", "bad"),
    [
        (WorkerSettings, "DATABASE_URL", f"mysql://{BAD}"),
        (WorkerSettings, "REDIS_URL", f"http://{BAD}"),
        (WorkerSettings, "RECORDINGS_SEAL_KEY", BAD),
        (WorkerSettings, "RECORDINGS_SEAL_KEY", f"{SEAL},{BAD}"),
        (WorkerSettings, "RECORDINGS_SEAL_KEY", f"{SEAL},{SEAL}"),
        (IntegrationsSettings, "RECORDINGS_SEAL_KEY", BAD),
        (WorkerSettings, "RECORDINGS_PRIVATE_SOURCE_NETWORKS", BAD),
        (WorkerSettings, "RECORDINGS_PRIVATE_SOURCE_NETWORKS", "10.0.0.1/8"),
        (WorkerSettings, "RECORDINGS_LEASE_S", BAD),
        (WorkerSettings, "RECORDINGS_LEASE_S", "0"),
        (WorkerSettings, "RECORDINGS_LEASE_S", "inf"),
        (WorkerSettings, "RECORDINGS_RETRY_CAP_S", "nan"),
        (WorkerSettings, "RECORDINGS_MAX_BYTES", "-1"),
        (WorkerSettings, "RECORDINGS_SSE", BAD),
        (WorkerSettings, "AWS_ENDPOINT_URL_S3", BAD),
        (WorkerSettings, "RECORDINGS_S3_ROLE_ARN", BAD),
        (DispatcherSettings, "RECORDINGS_GRANT_KEY", BAD),
        (DispatcherSettings, "RECORDINGS_DISPATCH_WINDOW", "0"),
        (DispatcherSettings, "RECORDINGS_MAX_IN_FLIGHT", "many"),
        (MigrateSettings, "RECORDINGS_GRANT_KEY", BAD),
        (FlowerSettings, "FLOWER_BASIC_AUTH", BAD),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "user:short"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "user:Change-Me-12345"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "nurse:nurse-nurse-2026"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "user:abababababababab"),
        (FlowerSettings, "FLOWER_BASIC_AUTH", "user:a-quite-long-one,other:x"),
        (FlowerSettings, "FLOWER_COOKIE_SECRET", "secret-secret-secret-secret-secret-2"),
        (FlowerSettings, "FLOWER_COOKIE_SECRET", BAD),
        (FlowerSettings, "FLOWER_AUTH", "a@b.example"),
        (FlowerSettings, "FLOWER_PORT", "70000"),
    ],
)
def test_a_bad_value_is_said_by_its_name_and_not_repeated(
    environment: pytest.MonkeyPatch, settings: type[Settings], name: str, bad: str
) -> None:
    given(environment, WORKER | DISPATCHER | {"FLOWER_BASIC_AUTH": "user:a-quite-long-one"} | {name: bad})
    said = refusal(settings)
    assert f"  {name}: " in said
    assert said.count("\n") == 2
    assert BAD not in said
    assert "Traceback" not in said


def test_seal_keys_are_read_in_their_order(environment: pytest.MonkeyPatch) -> None:
    new, old = SealKey.generate(), SealKey.generate()
    given(environment, WORKER | {"RECORDINGS_SEAL_KEY": f"{new.text},{old.text}"})
    assert WorkerSettings.load().seal_keys == IntegrationsSettings.load().seal_keys == (new, old)
    environment.delenv("RECORDINGS_SEAL_KEY")
    assert WorkerSettings.load().seal_keys == ()
    assert "RECORDINGS_SEAL_KEY: is not set" in refusal(IntegrationsSettings)


def test_all_that_is_bad_is_said_at_once(environment: pytest.MonkeyPatch) -> None:
    given(environment, {"DATABASE_URL": BAD, "REDIS_URL": BAD, "RECORDINGS_GRANT_KEY": BAD, "RECORDINGS_TICK_S": BAD})
    said = refusal(DispatcherSettings)
    for name in ("DATABASE_URL", "REDIS_URL", "RECORDINGS_GRANT_KEY", "RECORDINGS_TICK_S"):
        assert name in said
    assert BAD not in said


def test_settings_do_not_show_their_secrets(environment: pytest.MonkeyPatch) -> None:
    given(environment, WORKER | DISPATCHER | {"RECORDINGS_SEAL_KEY": SealKey.generate().text})
    for settings in (WorkerSettings.load(), DispatcherSettings.load()):
        assert BAD not in repr(settings)
        assert KEY not in repr(settings)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_a_database_url_fits_every_library(environment: pytest.MonkeyPatch, scheme: str) -> None:
    given(environment, WORKER | {"DATABASE_URL": f"{scheme}://user:pass@db.example/x"})
    settings = WorkerSettings.load()
    assert settings.dsn.partition("://")[0] in {"postgresql", "postgres"}
    assert settings.sqlalchemy_url == "postgresql+psycopg://user:pass@db.example/x"


def test_a_process_reads_no_others_settings(environment: pytest.MonkeyPatch) -> None:
    given(environment, WORKER | {"RECORDINGS_GRANT_KEY": BAD, "FLOWER_PORT": BAD})
    assert not hasattr(WorkerSettings.load(), "grant_key")


OAUTH = {
    "REDIS_URL": REDIS,
    "FLOWER_AUTH_PROVIDER": "flower.views.auth.OktaLoginHandler",
    "FLOWER_AUTH": "a@clinic.example|b@clinic.example",
    "FLOWER_OAUTH2_KEY": "client",
    "FLOWER_OAUTH2_SECRET": "hush",
    "FLOWER_OAUTH2_REDIRECT_URI": "https://flower.example/login",
    "FLOWER_OAUTH2_OKTA_BASE_URL": "https://okta.example/oauth2",
}


def test_oauth_is_enough_of_a_login_for_flower(environment: pytest.MonkeyPatch) -> None:
    given(environment, OAUTH)
    assert FlowerSettings.load().basic_auth is None


@pytest.mark.parametrize("name", [name for name in OAUTH if name not in ("REDIS_URL", "FLOWER_AUTH_PROVIDER")])
def test_half_of_oauth_is_none(environment: pytest.MonkeyPatch, name: str) -> None:
    """Without FLOWER_AUTH alone, Flower would let everybody in."""
    given(environment, OAUTH | {name: ""})
    assert refusal(FlowerSettings).count("\n") == 2
    assert f"{name}: is not set" in refusal(FlowerSettings)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("FLOWER_AUTH_PROVIDER", "flower.views.error.NotFoundErrorHandler"),
        ("FLOWER_AUTH", ".*"),
        ("FLOWER_AUTH", ".*@.*"),
        ("FLOWER_AUTH", ".*@gmail.com"),
        ("FLOWER_AUTH", "clinic.example"),
        ("FLOWER_AUTH", "a@clinic.example|"),
        ("FLOWER_OAUTH2_REDIRECT_URI", "http://flower.example/login"),
        ("FLOWER_OAUTH2_OKTA_BASE_URL", "http://okta.example"),
    ],
)
def test_oauth_that_lets_in_whom_nobody_named_is_refused(environment: pytest.MonkeyPatch, name: str, bad: str) -> None:
    given(environment, OAUTH | {name: bad})
    assert f"  {name}: " in refusal(FlowerSettings)

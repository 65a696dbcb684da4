"""Law 7: whatever a URL, a provider's answer or a credential holds, no log line, failure, metric or trace does."""

from collections.abc import Callable
from itertools import repeat

import pytest

from tests.pipeline.speaker import speaking
from tests.pipeline.test_providers import Clinic, at, clinic
from workers.credentials import Credentials
from workers.demo.behaviours import Behaviour, cut, header, redirect, status
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.telemetry import configure_logging

__all__ = ["clinic"]

MARK = "m4rk3r"
PHONE = "+15550199777"
TABLES = (
    "failed_recording_uploads",
    "recording_upload_metrics",
    "audit_log",
    "recording_upload_queue",
    "app.workers",
    "app.refused_grants",
    "app.storage_findings",
)


@pytest.fixture
def told(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Every log line at the finest level, and every row but for the URL's own column."""
    configure_logging("DEBUG")

    def told() -> str:
        rows = [str(clinic.database.all(f"SELECT to_jsonb(t) - 'source_url' FROM {table} AS t")) for table in TABLES]
        return capsys.readouterr().err + "\n".join(rows)

    return told


def attempted(clinic: Clinic, url: str, provider: str = "https") -> str:
    upload = clinic.database.enqueue(clinic.org_id, provider=provider, source_url=url).upload_id
    clinic.database.run("UPDATE call_logs SET from_number = %s, to_number = %s, transcript = %s", PHONE, PHONE, MARK)
    state, code = clinic.attempt(upload)
    assert code or state == "completed"
    return code or state


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"https://{MARK}:{MARK}@example.com/{MARK}", "source_blocked"),
        (f"https://{MARK}.invalid/{MARK}?{MARK}={MARK}", "source_unreachable"),
        (f"https://{'x' * 64}{MARK}.invalid/", "source_blocked"),
        (f"https://10.0.0.1/{MARK}", "source_blocked"),
        (f"https://127.0.0.1:1/{MARK}", "source_unreachable"),
        (f"http://[{MARK}]/", "source_blocked"),
        (f"https://example.com:{MARK}/", "source_blocked"),
        (f"http://{MARK}\\@127.0.0.1/{PHONE}", "source_blocked"),
    ],
)
def test_a_url_is_not_told(clinic: Clinic, told: Callable[[], str], url: str, code: str) -> None:
    assert attempted(clinic, url) == code
    said = told()
    assert code in said
    assert MARK not in said
    assert PHONE not in said


@pytest.mark.parametrize(
    ("behaviours", "body", "code"),
    [
        ((redirect(f"https://{MARK}.invalid/{MARK}"),), b"", "source_unreachable"),
        ((redirect(f"http://{MARK}:{MARK}@127.0.0.1/"),), b"", "source_blocked"),
        ((redirect(f"gopher://{MARK}/"),), b"", "source_blocked"),
        ((status(500), header("X-Error", MARK)), b"", "source_error"),
        ((status(403), header("WWW-Authenticate", MARK)), b"", "source_forbidden"),
        ((status(429, retry_after=MARK),), b"", "source_throttled"),
        ((header("Content-Length", MARK),), b"", "source_error"),
        ((header("Transfer-Encoding", MARK),), b"", "source_error"),
        ((header("Content-Type", MARK),), f"<html>{MARK} {PHONE}</html>".encode(), "not_audio"),
        (
            (header("ETag", f'"{MARK}"'), header("Accept-Ranges", "bytes"), cut(9_000)),
            Recording(1, 50_000),
            "source_truncated",
        ),
        ((header("X-Name", MARK), header("Content-Disposition", PHONE)), Recording(1, 50_000), "completed"),
    ],
)
def test_what_a_provider_says_is_not_told(
    clinic: Clinic,
    told: Callable[[], str],
    provider: Provider,
    behaviours: tuple[Behaviour, ...],
    body: bytes | Recording,
    code: str,
) -> None:
    assert attempted(clinic, provider.add(f"/{MARK}?{MARK}={PHONE}", body, *behaviours)) == code
    said = told()
    assert MARK not in said
    assert PHONE not in said


def test_what_is_not_even_http_is_not_told(clinic: Clinic, told: Callable[[], str]) -> None:
    for script in (f"{MARK}\r\n".encode(), f"HTTP/1.1 {MARK}\r\n\r\n".encode()):
        with speaking(script) as speaker:
            assert attempted(clinic, speaker.url + MARK) == "source_error"
    with speaking(lambda: repeat(f"HTTP/1.1 200 OK\r\nX: {MARK}\r\n".encode())) as speaker:
        assert attempted(clinic, speaker.url) == "source_error"
    assert MARK not in told()


def test_credentials_are_not_told(
    clinic: Clinic, told: Callable[[], str], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(provider, monkeypatch)
    for secret in (MARK, f"{MARK}\r\nX: y", f"{MARK}\u20ac"):
        clinic.database.run("DELETE FROM integrations")
        clinic.integrate("vapi", Credentials(secret=secret))
        code = attempted(clinic, f"https://example.com/{MARK}", "vapi")
        assert code == ("source_not_ready" if secret == MARK else "credentials_missing")
    assert MARK not in told()
    assert all(asked.headers.get("authorization") in {None, f"Bearer {MARK}"} for asked in provider.log)

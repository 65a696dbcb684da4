"""Which request an upload becomes, and what the answers to it mean."""

from base64 import b64encode
from datetime import UTC, datetime
from email.utils import format_datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import errors
from workers.credentials import Credentials
from workers.sources import Request, resolve
from workers.sources.request import retry_after_s
from workers.sources.target import Target
from workers.uploads import Upload

URL = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1.wav"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
SECRET = Credentials(username="AC1", secret="hush")


def upload(provider: str, *, call: str = "call-1", url: str = URL) -> Upload:
    return Upload(uuid4(), uuid4(), uuid4(), provider, call, "RE1", url, 1, 0, 5, NOW, NOW)


def test_twilio_gets_its_own_credentials_and_the_url_as_given() -> None:
    request = resolve(upload("twilio"), SECRET)
    assert request.url == URL
    assert request.authorization_for("api.twilio.com") == "Basic " + b64encode(b"AC1:hush").decode()


@pytest.mark.parametrize(
    "host", ["twilio.com", "twilio.com.evil.example", "eviltwilio.com", "api.twilio.com.", "127.0.0.1"]
)
def test_credentials_are_for_the_providers_own_hosts(host: str) -> None:
    assert resolve(upload("twilio"), SECRET).authorization_for(host) is None


def test_vapi_is_asked_at_its_endpoint_with_a_bearer() -> None:
    request = resolve(upload("vapi", url="https://storage.vapi.ai/old.wav"), Credentials("key"))
    assert request.url == "https://api.vapi.ai/call/call-1/mono-recording"
    assert request.authorization_for("api.vapi.ai") == "Bearer key"
    assert request.authorization_for("vapi.ai.evil.example") is None


def test_a_call_id_cannot_choose_the_path_at_vapi() -> None:
    request = resolve(upload("vapi", call="../account"), Credentials("key"))
    assert request.url == URL
    assert request.authorization is None


@pytest.mark.parametrize("provider", ["twilio", "vapi"])
def test_without_credentials_the_url_is_fetched_as_given(provider: str) -> None:
    request = resolve(upload(provider), None)
    assert (request.url, request.authorization) == (URL, None)
    assert isinstance(request.failure(401, None), errors.CredentialsMissing)
    assert isinstance(request.failure(403, None), errors.CredentialsMissing)


def test_a_provider_nobody_knows_is_plain_https() -> None:
    request = resolve(upload("retell"), SECRET)
    assert (request.url, request.authorization) == (URL, None)


@pytest.mark.parametrize(
    ("provider", "status", "expected"),
    [
        ("https", 401, errors.SourceForbidden),
        ("https", 403, errors.SourceForbidden),
        ("https", 404, errors.SourceGone),
        ("https", 410, errors.SourceGone),
        ("https", 202, errors.SourceNotReady),
        ("https", 425, errors.SourceNotReady),
        ("https", 429, errors.SourceThrottled),
        ("https", 408, errors.SourceError),
        ("https", 500, errors.SourceError),
        ("https", 503, errors.SourceError),
        ("https", 204, errors.SourceError),
        ("https", 206, errors.SourceError),
        ("https", 304, errors.SourceError),
        ("https", 418, errors.SourceError),
        ("twilio", 401, errors.SourceForbidden),
        ("twilio", 404, errors.SourceNotReady),
        ("twilio", 410, errors.SourceGone),
        ("vapi", 404, errors.SourceNotReady),
    ],
)
def test_every_status_has_a_meaning(provider: str, status: int, expected: type[errors.AttemptError]) -> None:
    failure = resolve(upload(provider), SECRET).failure(status, None)
    assert type(failure) is expected


def test_200_is_no_failure() -> None:
    assert Request(URL).failure(200, None) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_says_when_is_waited_for(status: int) -> None:
    failure = Request(URL).failure(status, "7")
    assert isinstance(failure, errors.SourceThrottled)
    assert failure.retry_after_s == 7


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_s(format_datetime(NOW, usegmt=True), now=NOW.timestamp() - 90) == 90


@given(st.none() | st.text() | st.integers().map(str), st.floats(0, 4e9))
def test_retry_after_is_bounded_whatever_it_says(value: str | None, now: float) -> None:
    wait_s = retry_after_s(value, now=now)
    assert wait_s is None or 0 <= wait_s <= 86_400


def test_neither_url_nor_secret_shows_in_a_repr() -> None:
    shown = repr(resolve(upload("twilio"), SECRET)) + repr(Target.parse(URL + "?X-Amz-Signature=abc"))
    assert "hush" not in shown
    assert "RE1" not in shown
    assert "abc" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/a.wav",
        "file:///etc/passwd",
        "//example.com/a",
        "https://",
        "https:///a.wav",
        "https://user@example.com/a",
        "https://user:pass@example.com/a",
        "https://api.twilio.com@127.0.0.1/a",
        "https://example.com:0/a",
        "https://example.com:99999/a",
        "https://example.com\\@127.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/a\r\nHost: evil",
        "https://example.com/a\x00",
        "https://[::1%25eth0]/a",
        "https://[::1/a",
        "https://ex%61mple.com/",
        "https://" + "a" * 64 + ".com/",
    ],
)
def test_a_url_that_is_not_plain_is_blocked(url: str) -> None:
    with pytest.raises(errors.SourceBlocked):
        Target.parse(url)


@pytest.mark.parametrize(
    ("url", "host", "host_header", "path"),
    [
        ("https://Example.COM", "example.com", "example.com", "/"),
        ("https://example.com:443/a?b=c%2Fd&e=f#g", "example.com", "example.com", "/a?b=c%2Fd&e=f"),
        ("http://example.com:8080/a//b/../c", "example.com", "example.com:8080", "/a//b/../c"),
        ("https://bücher.example/ä.wav", "xn--bcher-kva.example", "xn--bcher-kva.example", "/%C3%A4.wav"),
        ("https://[2606:4700::1]:8443/a", "2606:4700::1", "[2606:4700::1]:8443", "/a"),
    ],
)
def test_a_plain_url_is_kept_as_it_is(url: str, host: str, host_header: str, path: str) -> None:
    target = Target.parse(url)
    assert (target.origin.host, target.origin.host_header, target.path) == (host, host_header, path)


@given(st.text(max_size=200))
def test_any_text_is_a_target_or_blocked(url: str) -> None:
    try:
        target = Target.parse("https://example.com/" + url)
    except errors.SourceBlocked:
        return
    assert target.path.isascii()
    assert not set(target.path) & set(" \r\n\t\x00")

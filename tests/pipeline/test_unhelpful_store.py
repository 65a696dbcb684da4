"""What the store's refusals mean, and what is sent to it."""

import socket
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

import pytest

from tests.pipeline.s3_server import MIB, payload
from tests.pipeline.unhelpful_store import Script, unhelpful_store
from workers import errors
from workers.bucket import Bucket
from workers.put import encryption_headers
from workers.store import Store

REFUSALS = [
    (503, "SlowDown", errors.StoreThrottled),
    (429, "TooManyRequests", errors.StoreThrottled),
    (500, "InternalError", errors.StoreUnavailable),
    (503, "ServiceUnavailable", errors.StoreUnavailable),
    (507, "", errors.StoreUnavailable),
    (409, "ConditionalRequestConflict", errors.StoreUnavailable),
    (400, "IncompleteBody", errors.StoreUnavailable),
    (400, "BadDigest", errors.IntegrityMismatch),
    (400, "XAmzContentChecksumMismatch", errors.IntegrityMismatch),
    (400, "ExpiredToken", errors.StoreDenied),
    (403, "AccessDenied", errors.StoreDenied),
    (403, "SignatureDoesNotMatch", errors.StoreDenied),
    (403, "RequestTimeTooSkewed", errors.StoreDenied),
    (404, "NoSuchBucket", errors.StoreDenied),
    (301, "PermanentRedirect", errors.StoreDenied),
    (501, "NotImplemented", errors.StoreDenied),
]


EIGHT_MIB = b"x" * 8 * MIB


class Refusing(NamedTuple):
    script: Script
    store: Store


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    script = Script()
    with unhelpful_store(script) as store:
        yield Refusing(script, store)


@pytest.mark.parametrize("knows_length", [True, False])
@pytest.mark.parametrize(("status", "code", "expected"), REFUSALS)
def test_every_refusal_says_who_acts_next(
    refusing: Refusing,
    status: int,
    code: str,
    expected: type[errors.AttemptError],
    knows_length: bool,
) -> None:
    refusing.script.status, refusing.script.code = status, code
    with pytest.raises(expected):
        refusing.store.put("a.wav", "audio/wav", payload(EIGHT_MIB, knows_length=knows_length))


def test_a_store_that_hangs_up_is_asked_again_only_if_nothing_is_lost_by_it() -> None:
    script = Script(headers={"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})
    with unhelpful_store(script) as store:
        store.put("empty.wav", "audio/wav", payload(b""))  # leaves a connection to reuse
        script.says_nothing = True
        with pytest.raises(errors.StoreUnavailable):
            store.put("a.wav", "audio/wav", payload(b"x" * 1_000))
        assert len(script.seen) == 3  # once on the kept connection, once on a fresh one
        with pytest.raises(errors.StoreUnavailable):
            store.put("a.wav", "audio/wav", payload(b"x" * 1_000))
        assert len(script.seen) == 4  # a fresh connection that breaks is no stale one


def test_a_body_that_was_read_past_its_first_buffer_is_not_sent_again() -> None:
    script = Script(headers={"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})
    with unhelpful_store(script) as store:
        store.put("empty.wav", "audio/wav", payload(b""))
        script.says_nothing = True
        with pytest.raises(errors.StoreUnavailable):
            store.put("a.wav", "audio/wav", payload(b"x" * 1_000, step=400))
    assert len(script.seen) == 2


@pytest.mark.parametrize("is_met_while_sending", [True, False])
def test_a_refusal_is_heard_although_sending_failed(
    monkeypatch: pytest.MonkeyPatch,
    is_met_while_sending: bool,
) -> None:
    """Over TLS nobody can look whether an answer has come: there it is found when the connection breaks."""
    if not is_met_while_sending:
        monkeypatch.setattr("workers.wire.Wire.is_readable", lambda _: False)
    script = Script(403, "AccessDenied", answers_early=True)
    with unhelpful_store(script) as store, pytest.raises(errors.StoreDenied):
        store.put("a.wav", "audio/wav", payload(b"x" * 64 * MIB))


def test_an_early_word_that_the_object_exists_is_checked_against_all_of_the_source() -> None:
    data = b"x" * 64 * MIB
    checksum = b64encode(sha256(data).digest()).decode()
    found = {"Content-Length": str(len(data)), "x-amz-checksum-sha256": checksum}
    script = Script(412, "PreconditionFailed", answers_early=True, stored=found)
    with unhelpful_store(script) as store:
        store.put("a.wav", "audio/wav", payload(data))
        with pytest.raises(errors.IntegrityMismatch):
            store.put("a.wav", "audio/wav", payload(data[:-1] + b"y"))


def test_a_store_that_is_silent_is_unavailable_after_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AK")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "SK")
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Store(bucket="b", endpoint_url=url, timeout_s=0.3) as store, pytest.raises(errors.StoreUnavailable):
            store.put("a.wav", "audio/wav", payload(b"x" * 1_000))


def test_a_wrong_checksum_in_the_answer_is_a_mismatch() -> None:
    script = Script(headers={"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})
    with unhelpful_store(script) as store, pytest.raises(errors.IntegrityMismatch):
        store.put("a.wav", "audio/wav", payload(b"x"))


def test_a_yes_without_a_checksum_is_looked_into() -> None:
    script = Script()
    with unhelpful_store(script) as store, pytest.raises(errors.StoreUnavailable):
        store.put("a.wav", "audio/wav", payload(b"x"))
    assert [request for request, _ in script.seen][1].startswith("HEAD /recordings/a.wav")


def test_an_object_that_was_in_the_way_and_is_gone_is_tried_again_later() -> None:
    with unhelpful_store(Script(412, "PreconditionFailed")) as store, pytest.raises(errors.StoreUnavailable):
        store.put("a.wav", "audio/wav", payload(b"x"))


def test_without_credentials_the_operator_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with Store(bucket="b", endpoint_url="http://127.0.0.1:9") as store:
        for knows_length in (True, False):
            with pytest.raises(errors.StoreDenied):
                store.put("a.wav", "audio/wav", payload(b"x" * 8 * MIB, knows_length=knows_length))


def test_what_is_sent_is_create_only_signed_and_encrypted() -> None:
    script = Script(500)
    with unhelpful_store(script, sse="aws:kms:key-1") as store, pytest.raises(errors.StoreUnavailable):
        store.put("org/2026/a b.wav", "audio/wav", payload(b"RIFF"))
    request, headers = script.seen[0]
    assert request == "PUT /recordings/org/2026/a%20b.wav"
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert headers["x-amz-security-token"] == "a-session-token"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    assert "content-encoding" not in headers
    assert script.bodies[0].startswith(b"4\r\nRIFF\r\n0\r\nx-amz-checksum-sha256:")


def test_encryption_is_by_setting() -> None:
    assert encryption_headers(None) == {}
    assert encryption_headers("AES256") == {"x-amz-server-side-encryption": "AES256"}
    assert encryption_headers("aws:kms") == {"x-amz-server-side-encryption": "aws:kms"}
    assert (
        encryption_headers("aws:kms:arn:aws:kms:eu-west-1:1:key/k")["x-amz-server-side-encryption-aws-kms-key-id"]
        == "arn:aws:kms:eu-west-1:1:key/k"
    )


def test_at_amazon_the_bucket_is_part_of_the_host_elsewhere_of_the_path() -> None:
    amazon = Bucket.at("https://s3.eu-west-1.amazonaws.com", "recordings", "eu-west-1")
    assert (amazon.host_header, amazon.path_prefix, amazon.at_amazon) == (
        "recordings.s3.eu-west-1.amazonaws.com",
        "",
        True,
    )
    dotted = Bucket.at("https://s3.eu-west-1.amazonaws.com", "rec.ordings", "eu-west-1")
    assert (dotted.host, dotted.path_prefix) == ("s3.eu-west-1.amazonaws.com", "/rec.ordings")
    own = Bucket.at("http://storage:8333", "recordings", "us-east-1")
    assert (own.host_header, own.path_prefix, own.at_amazon) == ("storage:8333", "/recordings", False)
    assert not Bucket.at("https://s3.amazonaws.com.evil.example", "b", "us-east-1").at_amazon

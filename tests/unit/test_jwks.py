"""Published keys: over real HTTP, by an issuer that rotates, is away, drips, floods and redirects."""

import json
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.certificates import certificate
from tests.tokens import KeyPair, claims, key_set
from workers import signing_keys
from workers.jwks import Address, UnreadableKeySet, parse_key_set, read_key_set
from workers.settings import SettingsError, TokenSettings
from workers.signing_keys import KeysUnavailable, PublishedKeys, SharedSecret
from workers.tokens import TokenRefused, Verifier

PAIR = KeyPair.make("ES256", "first")


class Issuer:
    """Serves ``body``; ``drip_s`` seconds before each byte; counts who asked."""

    def __init__(self, body: bytes = b"", *, tls: ssl.SSLContext | None = None) -> None:
        self.body, self.status, self.headers, self.drip_s, self.asked = body, 200, dict[str, str](), 0.0, 0
        self.hung_up = threading.Event()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    if not issuer.drip_s:
                        self.wfile.write(issuer.body)
                        return
                    for byte in issuer.body:
                        if issuer.hung_up.wait(issuer.drip_s):
                            return
                        self.wfile.write(bytes([byte]))
                except OSError:
                    issuer.hung_up.set()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/auth/v1/.well-known/jwks.json?version=1"


@contextmanager
def serving(issuer: Issuer) -> Iterator[Issuer]:
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.hung_up.set()
        issuer.server.shutdown()
        issuer.server.server_close()
        thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving(Issuer(key_set(PAIR))) as started:
        yield started


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: Issuer, clock: Clock) -> PublishedKeys:
    return replace(PublishedKeys.at(issuer.url), clock=clock)


def accepts(keys: PublishedKeys, pair: KeyPair) -> bool:
    try:
        Verifier(keys).verify(pair.token())
    except TokenRefused:
        return False
    return True


# Kept, and asked for again -------------------------------------------------------------------------------------------


def test_keys_are_read_at_the_first_token_and_kept(issuer: Issuer, keys: PublishedKeys) -> None:
    assert issuer.asked == 0
    assert all(accepts(keys, PAIR) for _ in range(20))
    assert issuer.asked == 1


def test_a_key_that_came_later_is_found_and_one_that_was_taken_back_ends(
    issuer: Issuer, keys: PublishedKeys, clock: Clock
) -> None:
    second = KeyPair.make("EdDSA", "second")
    assert accepts(keys, PAIR)
    issuer.body = key_set(PAIR, second)
    assert not accepts(keys, second), "the issuer was asked a moment ago"
    clock.now_s += 11
    assert accepts(keys, second)
    assert accepts(keys, PAIR)
    issuer.body = key_set(second)
    clock.now_s += 301
    assert not accepts(keys, PAIR)
    assert accepts(keys, second)
    assert issuer.asked == 3


def test_a_key_that_was_exchanged_under_the_same_id_is_the_new_one(
    issuer: Issuer, keys: PublishedKeys, clock: Clock
) -> None:
    assert accepts(keys, PAIR)
    other = KeyPair.make("RS256", PAIR.kid)
    issuer.body = key_set(other)
    clock.now_s += 301
    assert accepts(keys, other)
    assert not accepts(keys, PAIR)


def test_unknown_ids_ask_once_a_cooldown_however_many_come(issuer: Issuer, keys: PublishedKeys, clock: Clock) -> None:
    strangers = [KeyPair.make("EdDSA", f"stranger{n}") for n in range(20)]
    assert accepts(keys, PAIR)
    for round_ in range(1, 4):
        clock.now_s += 11
        assert not any(accepts(keys, stranger) for stranger in strangers)
        assert accepts(keys, PAIR)
        assert issuer.asked == 1 + round_


def test_many_threads_ask_once(issuer: Issuer, keys: PublishedKeys) -> None:
    issuer.drip_s = 0.0005
    start = threading.Barrier(16)
    seen: list[bool] = []

    def ask() -> None:
        start.wait()
        seen.append(accepts(keys, PAIR))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 16
    assert issuer.asked == 1


def test_nobody_with_a_known_key_waits_for_a_slow_issuer(issuer: Issuer, keys: PublishedKeys, clock: Clock) -> None:
    assert accepts(keys, PAIR)
    issuer.drip_s = 60.0
    clock.now_s += 301
    slow = threading.Thread(target=keys.find, args=("unknown",))
    slow.start()
    while issuer.asked < 2:
        assert slow.is_alive()
    assert all(accepts(keys, PAIR) for _ in range(20))
    assert slow.is_alive()
    issuer.hung_up.set()
    slow.join()


# Away ----------------------------------------------------------------------------------------------------------------


def test_known_keys_go_on_for_an_hour_without_the_issuer_and_no_longer(
    issuer: Issuer, keys: PublishedKeys, clock: Clock
) -> None:
    assert accepts(keys, PAIR)
    issuer.status = 503
    for _ in range(11):
        clock.now_s += 320
        assert accepts(keys, PAIR)
    assert issuer.asked == 12
    clock.now_s += 320
    with pytest.raises(KeysUnavailable) as raised:
        accepts(keys, PAIR)
    assert (str(raised.value), raised.value.status) == ("the key set cannot be read", 503)
    issuer.status = 200
    clock.now_s += 11
    assert accepts(keys, PAIR)


def test_an_issuer_that_is_away_from_the_start_is_not_asked_for_each_token(
    issuer: Issuer, keys: PublishedKeys, clock: Clock
) -> None:
    issuer.status = 500
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            accepts(keys, PAIR)
    assert issuer.asked == 1
    issuer.status = 200
    clock.now_s += 11
    assert accepts(keys, PAIR)


def test_a_token_that_cannot_be_right_causes_no_request(issuer: Issuer, keys: PublishedKeys) -> None:
    for token in ("a.b.c", KeyPair.make("EdDSA").token().replace(".", "..")):
        with pytest.raises(TokenRefused):
            Verifier(keys).verify(token)
    assert issuer.asked == 0


# Bounds --------------------------------------------------------------------------------------------------------------


def unreadable(issuer: Issuer, **more: Any) -> str:
    with pytest.raises(UnreadableKeySet) as raised:
        read_key_set(Address.parse(issuer.url), **more)
    assert raised.value.__cause__ is None
    return str(raised.value)


def test_a_body_that_does_not_end_is_cut_at_its_size(issuer: Issuer) -> None:
    issuer.body = key_set(PAIR) + b" " * 300_000
    assert unreadable(issuer) == "too large"


def test_a_body_that_drips_is_cut_at_its_time(issuer: Issuer) -> None:
    """Each byte comes well within any timeout of the socket's."""
    issuer.drip_s = 0.05
    issuer.body = b" " * 10_000
    began = time.monotonic()
    unreadable(issuer, within_s=0.5)
    assert time.monotonic() - began < 30


def test_nothing_is_followed_elsewhere(issuer: Issuer) -> None:
    with serving(Issuer(key_set(PAIR))) as other:
        issuer.status, issuer.headers = 302, {"Location": other.url}
        assert unreadable(issuer) == "status 302"
        assert other.asked == 0


def test_an_issuer_that_is_not_there_is_said_in_a_word() -> None:
    gone = Issuer()
    gone.server.server_close()
    assert unreadable(gone) == "ConnectionRefusedError"


def test_a_proxy_of_the_environment_is_not_asked(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Issuer(key_set(KeyPair.make("EdDSA", "evil")))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        assert list(read_key_set(Address.parse(issuer.url))) == [PAIR.kid]
        assert proxy.asked == 0


def test_over_tls_the_certificate_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, _ = certificate("localhost", tmp_path)
    with serving(Issuer(key_set(PAIR), tls=server)) as issuer:
        address = Address.parse(f"https://localhost:{issuer.port}/jwks")
        with pytest.raises(UnreadableKeySet, match="SSLCertVerificationError"):
            read_key_set(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "localhost.pem"))
        assert list(read_key_set(address)) == [PAIR.kid]
        with pytest.raises(UnreadableKeySet, match="SSLCertVerificationError"):
            read_key_set(Address.parse(f"https://127.0.0.1:{issuer.port}/jwks"))


# What of a set may verify --------------------------------------------------------------------------------------------

OCT = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": urlsafe_b64encode(b"k" * 32).decode()}
RSA = KeyPair.make("RS256", "rsa").jwk


@pytest.mark.parametrize(
    "left_out",
    [
        OCT,
        OCT | {"kid": PAIR.kid},
        PAIR.jwk | {"kid": ""},
        PAIR.jwk | {"kid": 7},
        {name: value for name, value in PAIR.jwk.items() if name != "kid"},
        PAIR.jwk | {"use": "enc"},
        PAIR.jwk | {"alg": "HS256"},
        PAIR.jwk | {"alg": "ES384"},
        PAIR.jwk | {"crv": "P-384"},
        PAIR.jwk | {"crv": ["P-256"]},
        PAIR.jwk | {"x": "!"},
        PAIR.jwk | {"x": 7},
        PAIR.jwk | {"d": PAIR.jwk["x"]},
        RSA | {"alg": "PS256"},
        RSA | {"alg": "none"},
        RSA | {"crv": "P-256"},
        RSA | {"kty": "EC"},
        RSA | {"n": ""},
        RSA | {"kty": ["RSA"]},
        "first",
        7,
        None,
        [],
    ],
)
def test_a_key_that_must_not_verify_is_left_out_and_the_others_stay(left_out: Any) -> None:
    assert parse_key_set(json.dumps({"keys": [left_out]}).encode()) == {}
    found = parse_key_set(json.dumps({"keys": [left_out, RSA]}).encode())
    assert {key.algorithm_name for key in found.values()} == {"RS256"}


def test_a_symmetric_key_in_the_set_verifies_nothing(issuer: Issuer, keys: PublishedKeys) -> None:
    issuer.body = key_set(PAIR, OCT)
    assert accepts(keys, PAIR)
    with pytest.raises(TokenRefused):
        Verifier(keys).verify(jwt.encode(claims(), b"k" * 32, "HS256", {"kid": "shared"}))


def test_an_rsa_key_that_is_too_short_verifies_nothing() -> None:
    short = KeyPair("short", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024))
    found = parse_key_set(key_set(short))
    with pytest.warns(match="below"):
        token = short.token()
    with pytest.raises(TokenRefused):
        Verifier(PublishedKeys(lambda: found)).verify(token)


def test_a_set_that_was_emptied_lets_nobody_in(issuer: Issuer, keys: PublishedKeys, clock: Clock) -> None:
    assert accepts(keys, PAIR)
    issuer.body = key_set()
    clock.now_s += 301
    assert not accepts(keys, PAIR)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"7", b"{}", b'{"keys": {}}', b'{"keys": 7}', b"\xff\xfe", b"[" * 9000]
)
def test_what_is_no_key_set_does_not_replace_one(
    issuer: Issuer, keys: PublishedKeys, clock: Clock, body: bytes
) -> None:
    assert accepts(keys, PAIR)
    issuer.body = body
    clock.now_s += 301
    assert accepts(keys, PAIR)
    with pytest.raises(UnreadableKeySet, match="no key set"):
        parse_key_set(body)


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps({"keys": [{"kty": text}]}).encode()))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    try:
        assert parse_key_set(body) == {}
    except UnreadableKeySet:
        return


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SECRET", "AUDIENCE", "ISSUER"):
        monkeypatch.delenv(f"RECORDINGS_JWT_{name}", raising=False)
    monkeypatch.delenv("RECORDINGS_JWKS_URL", raising=False)
    return monkeypatch


def refusal(environment: pytest.MonkeyPatch, **given_values: str) -> str:
    for name, value in given_values.items():
        environment.setenv(f"RECORDINGS_{name}", value)
    with pytest.raises(SettingsError) as raised:
        TokenSettings.load()
    for value in given_values.values():
        assert value not in str(raised.value)
    assert str(raised.value).count("\n") == 2, "one thing is wrong, and one is said"
    return str(raised.value)


def test_exactly_one_of_secret_and_key_set_is_set(environment: pytest.MonkeyPatch) -> None:
    said = "RECORDINGS_JWKS_URL: set this or RECORDINGS_JWT_SECRET, exactly one of the two"
    assert said in refusal(environment)
    assert said in refusal(environment, JWT_SECRET="s" * 32, JWKS_URL="https://issuer.example/jwks")


def test_a_secret_that_can_be_guessed_is_refused_with_what_to_do(environment: pytest.MonkeyPatch) -> None:
    said = refusal(environment, JWT_SECRET="only-thirty-one-characters-long")
    assert "RECORDINGS_JWT_SECRET: must have at least 32 bytes" in said
    assert "openssl rand -base64 48" in said


def test_a_public_key_as_secret_is_refused_with_what_to_do(environment: pytest.MonkeyPatch) -> None:
    said = refusal(environment, JWT_SECRET="-----BEGIN PUBLIC KEY-----\n" + "A" * 400)
    assert "RECORDINGS_JWKS_URL instead" in said


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/jwks",
        "http://10.0.0.7/jwks",
        "http://localhost.example/jwks",
        "https://user:password@issuer.example/jwks",
        "file:///etc/jwks.json",
        "ftp://issuer.example/jwks",
        "https:///jwks",
        "https://issuer.example:port/jwks",
        "issuer.example/jwks",
    ],
)
def test_an_address_that_others_could_answer_for_is_refused(environment: pytest.MonkeyPatch, url: str) -> None:
    assert "RECORDINGS_JWKS_URL: " in refusal(environment, JWKS_URL=url)


@pytest.mark.parametrize("url", ["https://issuer.example/jwks", "http://127.0.0.1:9/jwks", "http://[::1]/jwks"])
def test_a_verifier_is_made_of_either(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.setenv("RECORDINGS_JWKS_URL", url)
    environment.setenv("RECORDINGS_JWT_ISSUER", "https://issuer.example")
    by_keys = Verifier.of(TokenSettings.load())
    assert (by_keys.audience, by_keys.issuer) == ("authenticated", "https://issuer.example")
    assert by_keys.keys.algorithms == ("RS256", "ES256", "EdDSA")
    environment.delenv("RECORDINGS_JWKS_URL")
    environment.setenv("RECORDINGS_JWT_SECRET", "s" * 32)
    settings = TokenSettings.load()
    assert Verifier.of(settings).keys.algorithms == ("HS256",)
    assert "ssss" not in repr(settings) + repr(Verifier.of(settings)) + repr(SharedSecret.parse("s" * 32))


def test_what_is_logged_of_a_key_set_is_how_many_and_why_not(
    issuer: Issuer, keys: PublishedKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    class Heard:
        def info(self, event: str, **fields: Any) -> None:
            heard.append((event, fields))

        warning = info

    monkeypatch.setattr(signing_keys, "_log", Heard())
    assert accepts(keys, PAIR)
    issuer.status = 503
    clock.now_s += 301
    assert accepts(keys, PAIR)
    assert heard == [("key_set_read", {"keys": 1}), ("key_set_unreadable", {"reason": "status 503"})]

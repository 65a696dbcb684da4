"""Users' tokens: what is accepted, and that nothing else is. Published keys over HTTP: test_jwks.py."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokens import SECRET, KeyPair, claims, encoded, hs256, key_set, written
from workers import tokens
from workers.jwks import parse_key_set
from workers.signing_keys import PublishedKeys, SharedSecret
from workers.tokens import TokenRefused, Verifier

HS256 = {"alg": "HS256", "typ": "JWT"}
BY_SECRET = Verifier(SharedSecret.parse(SECRET))
PAIRS = {algorithm: KeyPair.make(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
PUBLISHED = parse_key_set(key_set(*PAIRS.values()))
BY_KEY = Verifier(PublishedKeys(lambda: PUBLISHED))


class Heard:
    """What was logged, and that it is a check's name alone."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    info = warning


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    listening = Heard()
    monkeypatch.setattr(tokens, "_log", listening)
    return listening


def refused(token: Any, verifier: Verifier = BY_SECRET) -> TokenRefused:
    with pytest.raises(TokenRefused) as raised:
        verifier.verify(token)
    return raised.value


def check_of(heard: Heard, token: Any, verifier: Verifier = BY_SECRET) -> str:
    heard.events.clear()
    refused(token, verifier)
    ((event, fields),) = heard.events
    assert event == "token_refused"
    assert list(fields) == ["check"]
    return str(fields["check"])


#: Or what they are at the time of the test, which may come long after this file was read.
Claims = dict[str, Any] | Callable[[int], dict[str, Any]]


def at_once(more: Claims) -> dict[str, Any]:
    return more(int(time.time())) if callable(more) else more


def signed(**more: Any) -> str:
    return written(HS256, claims(**more))


# What is accepted ----------------------------------------------------------------------------------------------------


def test_a_user_is_who_the_token_says_and_acts_for_the_organisation_of_app_metadata() -> None:
    given_claims = claims()
    user = BY_SECRET.verify(jwt.encode(given_claims, SECRET, "HS256"))
    assert str(user.user_id) == given_claims["sub"]
    assert str(user.org_id) == given_claims["app_metadata"]["org_id"]


def test_the_database_is_told_nothing_that_was_not_verified_and_needed() -> None:
    given_claims = claims(org_id=str(uuid4()), extra="\x00\ud800")
    user = BY_SECRET.verify(jwt.encode(given_claims, SECRET, "HS256"))
    assert user.claims == {
        "sub": given_claims["sub"],
        "role": "authenticated",
        "app_metadata": {"org_id": given_claims["app_metadata"]["org_id"]},
    }
    user.claims["app_metadata"]["org_id"] = "changed"
    assert user.claims["app_metadata"]["org_id"] == str(user.org_id), "what one caller does to it no other one sees"


@pytest.mark.parametrize("algorithm", PAIRS)
def test_published_keys_verify_their_own_algorithm(algorithm: str) -> None:
    given_claims = claims()
    assert str(BY_KEY.verify(PAIRS[algorithm].token(given_claims)).user_id) == given_claims["sub"]


def test_an_issuer_that_is_asked_for_must_be_the_one() -> None:
    strict = Verifier(BY_SECRET.keys, issuer="https://issuer.example/auth/v1")
    assert strict.verify(signed(iss="https://issuer.example/auth/v1"))
    for iss in (None, "https://issuer.example/auth/v2", "https://issuer.example/auth/v1/", ["https://issuer.example"]):
        refused(signed(iss=iss), strict)


@pytest.mark.parametrize(
    "more",
    [
        {"aud": ["authenticated", "another"]},
        lambda now: {"exp": now + 60.5},
        lambda now: {"exp": now - 5},
        lambda now: {"iat": now + 5},
        {"role": None},
        {"sub": str(uuid4()).upper()},
    ],
)
def test_what_issuers_do_differently_is_accepted(more: Claims) -> None:
    assert BY_SECRET.verify(signed(**at_once(more)))


# What is refused, and by which check ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "check"),
    [
        (lambda now: {"exp": now - 60}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -(10**30)}, "expired"),
        ({"exp": 10**30}, "lifetime"),
        (lambda now: {"exp": 10**400, "iat": now - 0.5}, "lifetime"),
        (lambda now: {"exp": now + 60, "iat": -(10**400)}, "lifetime"),
        (lambda now: {"exp": now + 60.5, "iat": -(10**400)}, "lifetime"),
        (lambda now: {"exp": now + 60, "nbf": 10**400}, "not_yet"),
        ({"iat": 1e999}, "form"),
        (lambda now: {"exp": now + 32 * 86_400}, "lifetime"),
        ({"exp": 1e30}, "lifetime"),
        (lambda now: {"exp": str(now + 60)}, "exp"),
        ({"exp": True}, "expired"),
        ({"exp": []}, "form"),
        ({"exp": "soon"}, "form"),
        ({"exp": {}}, "form"),
        ({"exp": None}, "exp"),
        (lambda now: {"iat": now + 600}, "not_yet"),
        (lambda now: {"iat": str(now)}, "iat"),
        ({"iat": True}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"iat": None}, "iat"),
        (lambda now: {"nbf": now + 600}, "not_yet"),
        (lambda now: {"nbf": str(now)}, "nbf"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": []}, "aud"),
        ({"aud": [["authenticated"]]}, "audience"),
        ({"aud": {"authenticated": 1}}, "audience"),
        ({"aud": "Authenticated"}, "audience"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "user-7"}, "sub"),
        ({"sub": "{" + str(UUID(int=1)) + "}"}, "sub"),
        ({"sub": "urn:uuid:" + str(UUID(int=1))}, "sub"),
        ({"sub": UUID(int=1).hex}, "sub"),
        ({"sub": str(UUID(int=1)).replace("1", "\uff11")}, "sub"),
        ({"sub": str(UUID(int=1)) + "\n"}, "sub"),
        ({"role": "service_role"}, "role"),
        ({"role": "call_handler"}, "role"),
        ({"role": ["authenticated"]}, "role"),
    ],
)
def test_a_signed_token_with_a_wrong_claim_is_refused_by_that_check(heard: Heard, more: Claims, check: str) -> None:
    assert check_of(heard, signed(**at_once(more))) == check


ORG = str(uuid4())


@pytest.mark.parametrize(
    "where",
    [
        {"app_metadata": None},
        {"app_metadata": None, "user_metadata": {"org_id": ORG}},
        {"app_metadata": None, "org_id": ORG},
        {"app_metadata": {}, "org_id": ORG, "user_metadata": {"org_id": ORG}},
        {"app_metadata": {"org_id": ""}},
        {"app_metadata": {"org_id": "everyone"}},
        {"app_metadata": {"org_id": [ORG]}},
        {"app_metadata": {"org_id": {"org_id": ORG}}},
        {"app_metadata": {"org_id": 7}},
        {"app_metadata": {"org_id": True}},
        {"app_metadata": {"org_id": ORG + " "}},
        {"app_metadata": {"organization_id": ORG}},
        {"app_metadata": {"app_metadata": {"org_id": ORG}}},
        {"app_metadata": [{"org_id": ORG}]},
        {"app_metadata": json.dumps({"org_id": ORG})},
        {"app_metadata.org_id": ORG, "app_metadata": None},
    ],
)
def test_an_organisation_anywhere_else_is_none(heard: Heard, where: dict[str, Any]) -> None:
    assert check_of(heard, signed(**where)) == "org_id"


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "null",
        "[]",
        '"text"',
        "{",
        "[" * 3000,
        "{" + '"a":{' * 900,
        json.dumps(claims())[:-1] + ', "exp": 9999999999}',
        json.dumps(claims())[:-1] + ', "app_metadata": {"org_id": "' + ORG + '"}}',
        json.dumps(claims()).replace('"provider"', '"org_id"'),
        json.dumps(claims()).replace(str(int(time.time()) // 1000), "NaN", 1),
        json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": Infinity'),
        json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": 1e999'),
        json.dumps(claims(exp=0)).replace('"exp": 0', '"exp": ' + "9" * 5000),
        jwt.encode(claims(), SECRET, "HS256"),
    ],
)
def test_a_signed_payload_that_is_no_object_with_one_meaning_is_refused(heard: Heard, payload: str) -> None:
    """Names twice, numbers that are none, depth without end, a token in a token."""
    assert check_of(heard, written(HS256, payload)) == "form"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "hs256", "HS384", "HS512", "RS256", "ES256"])
def test_another_algorithm_than_the_configured_one_is_refused(heard: Heard, algorithm: str) -> None:
    assert check_of(heard, written({"alg": algorithm}, claims())) == "algorithm"
    assert check_of(heard, written({"alg": algorithm}, claims(), lambda _: b"x")) == "algorithm"
    unsigned = written({"alg": algorithm}, claims()).rpartition(".")[0] + "."
    assert check_of(heard, unsigned) == "form"


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": ["HS256"]}, {"alg": {"HS256": 1}}, {"alg": 256}])
def test_a_header_without_an_algorithm_is_refused(heard: Heard, header: dict[str, Any]) -> None:
    for verifier in (BY_SECRET, BY_KEY):
        assert check_of(heard, written(header, claims()), verifier) == "algorithm"


@pytest.mark.parametrize("header", ["", "null", "[]", "{", '{"alg":"none","alg":"HS256"}', "[" * 3000, "\x00"])
def test_a_header_that_is_no_object_with_one_meaning_is_refused(heard: Heard, header: str) -> None:
    assert check_of(heard, written(header, claims())) == "form"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], [], None, "exp", [7]])
def test_a_header_that_must_be_understood_is_refused(heard: Heard, crit: Any) -> None:
    assert check_of(heard, written(HS256 | {"crit": crit, "exp": 1}, claims())) == "critical"
    assert check_of(heard, written(HS256 | {"b64": True}, claims())) == "critical"


@pytest.mark.parametrize("kind", PAIRS)
def test_a_public_key_is_no_secret(heard: Heard, kind: str) -> None:
    """Signed with HS256 and the public key that everybody can read, in the forms that a library may hold it in."""
    public = PAIRS[kind].private.public_key()
    forms = [public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(), json.dumps(PAIRS[kind].jwk)]
    for form in forms:
        for text in (form, form.strip()):
            for header in (HS256, HS256 | {"kid": PAIRS[kind].kid}):
                assert check_of(heard, written(header, claims(), hs256(text)), BY_KEY) == "algorithm"


def test_a_key_verifies_no_other_algorithm_than_its_own(heard: Heard) -> None:
    for pair in PAIRS.values():
        for other in PAIRS.values():
            if other is not pair:
                token = other.token(claims(), kid=pair.kid)
                assert check_of(heard, token, BY_KEY) == "algorithm"


def test_the_same_kid_from_another_issuer_is_another_key(heard: Heard) -> None:
    for pair in PAIRS.values():
        assert check_of(heard, KeyPair.make(pair.algorithm, pair.kid).token(), BY_KEY) == "signature"


@pytest.mark.parametrize(
    "kid",
    ["", "unknown", "../../../../dev/null", "' OR '1'='1", "x\x00y", "https://evil.example/k", "k" * 2000, "\ud800"],
)
def test_a_kid_is_looked_up_and_nothing_else_is_done_with_it(heard: Heard, kid: str) -> None:
    assert check_of(heard, PAIRS["ES256"].token(claims(), kid=kid), BY_KEY) == "key"


@pytest.mark.parametrize("kid", [None, 7, [PAIRS["ES256"].kid], {"a": 1}])
def test_a_kid_that_is_no_text_is_refused(heard: Heard, kid: Any) -> None:
    token = written({"alg": "ES256", "kid": kid}, claims(), lambda _: b"x" * 64)
    assert check_of(heard, token, BY_KEY) == "key"


def test_keys_that_a_token_brings_along_are_ignored(heard: Heard) -> None:
    for pair in PAIRS.values():
        mine = KeyPair.make(pair.algorithm, "mine")
        brought = {"jwk": mine.jwk, "jku": "https://evil.example/jwks", "x5u": "https://evil.example/c", "x5c": ["AA"]}
        assert check_of(heard, mine.token(claims(), **brought), BY_KEY) == "key"
        assert check_of(heard, mine.token(claims(), kid=pair.kid, **brought), BY_KEY) == "signature"
        assert BY_KEY.verify(pair.token(claims(), **brought)), "and do no harm where the signature is right"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "a..c",
        ".b.c",
        "a.b.",
        "Bearer a.b.c",
        "\u0430.b.c",
        "a.b.c\n",
        " a.b.c",
        "a.b.c=",
        "\ud800.b.c",
        "a+.b.c",
        "a" * 9000,
        None,
        7,
        b"a.b.c",
        ["a.b.c"],
    ],
)
def test_what_is_no_token_is_refused(heard: Heard, token: Any) -> None:
    for verifier in (BY_SECRET, BY_KEY):
        assert check_of(heard, token, verifier) == "form"


def test_a_token_that_is_too_long_is_refused_before_anything_is_read(heard: Heard) -> None:
    assert BY_SECRET.verify(signed(padding="x" * 4000))
    assert check_of(heard, signed(padding="x" * 8000)) == "form"


def test_the_other_secret_and_the_same_content_signed_twice_over() -> None:
    refused(written(HS256, claims(), hs256("b" * 40)))
    refused(written(HS256, claims(), lambda text: hs256()(text)[:16]))
    refused(written(HS256, claims(), lambda text: hs256()(text) + b"x"))
    refused(written(HS256, claims(), lambda _: b"\x00" * 32))


# What is said --------------------------------------------------------------------------------------------------------


def test_whoever_brings_a_bad_token_hears_401_and_nothing_else() -> None:
    for token in (signed(exp=int(time.time()) - 60), signed(role="service_role"), "x", PAIRS["RS256"].token()):
        error = refused(token)
        assert (str(error), error.args, error.status) == ("unauthorized", ("unauthorized",), 401)
        assert error.__cause__ is None
        assert error.__context__ is None
        assert vars(error) == {}


# No mutation is accepted ---------------------------------------------------------------------------------------------

MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GOOD = {
    "HS256": (BY_SECRET, jwt.encode(claims(), SECRET, "HS256")),
    **{name: (BY_KEY, pair.token()) for name, pair in PAIRS.items()},
}
CHARACTERS = st.sampled_from("ABCZabcz0189-_.=+/ \n\x00\u0430\ud800")


@st.composite
def mutated(draw: st.DrawFn, token: str) -> str:
    """One to three characters changed, put in, taken out or doubled; or parts in another order."""
    text = token
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        character = draw(CHARACTERS)
        text = draw(
            st.sampled_from(
                [
                    text[:at] + character + text[at + 1 :],
                    text[:at] + character + text[at:],
                    text[:at] + text[at + 1 :],
                    text[:at] + text[at] + text[at:],
                    text[:at],
                    text[at:],
                    ".".join(reversed(text.split("."))),
                    text + draw(st.text(max_size=3)),
                ]
            )
        )
        if not text:
            break
    return text


@pytest.mark.parametrize("name", GOOD)
@MANY
@given(data=st.data())
def test_no_mutated_token_is_accepted_and_nothing_but_the_refusal_escapes(name: str, data: st.DataObject) -> None:
    verifier, token = GOOD[name]
    changed = data.draw(mutated(token))
    if changed != token:
        refused(changed, verifier)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["exp", "iat", "nbf", "sub", "aud", "iss", "jti", "role", "app_metadata", "alg", "kid", "crit"])


@MANY
@given(
    header=st.dictionaries(NAMES, JSON, max_size=4),
    changes=st.dictionaries(NAMES, JSON, max_size=4),
    token_signed=st.booleans(),
)
def test_whatever_is_signed_gives_a_user_or_the_refusal(
    header: dict[str, Any], changes: dict[str, Any], *, token_signed: bool
) -> None:
    usual = claims()
    token = written(HS256 | header, usual | changes, None if token_signed else (lambda _: b"x" * 32))
    for verifier in (BY_SECRET, BY_KEY):
        try:
            user = verifier.verify(token)
        except TokenRefused:
            continue
        assert token_signed
        assert verifier is BY_SECRET
        assert str(user.user_id) == (usual | changes)["sub"].lower()
        assert str(user.org_id) == (usual | changes)["app_metadata"]["org_id"].lower()


@MANY
@given(parts=st.lists(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), max_size=4))
def test_no_made_up_token_is_accepted(parts: list[bytes]) -> None:
    for verifier in (BY_SECRET, BY_KEY):
        refused(".".join(map(encoded, parts)), verifier)
        refused(b".".join(parts).decode("latin-1"), verifier)

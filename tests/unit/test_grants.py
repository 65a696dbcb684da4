"""The dispatcher's key and what it signs. That PostgreSQL refuses every other grant is tests/isolation."""

from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.grants import AUDIENCE, GrantKey, mint

ORG, ROW = UUID(int=1), UUID(int=2)


def test_a_key_survives_its_text_form() -> None:
    key = GrantKey.generate()
    assert GrantKey.parse(key.text) == key
    assert len(key.secret) == 32
    assert key.secret != GrantKey.generate().secret


@given(st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), st.binary(min_size=32, max_size=64))
def test_any_key_survives_its_text_form(kid: str, secret: bytes) -> None:
    assert GrantKey.parse(GrantKey(kid, secret).text) == GrantKey(kid, secret)


SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"


@pytest.mark.parametrize(
    "text", ["", ":", SECRET, f":{SECRET}", f"a b:{SECRET}", "kid:", "kid:c2hvcnQ", f"kid:{SECRET * 3}", "kid:ä", "k:a"]
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="must be kid:base64url") as raised:
        GrantKey.parse(text)
    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None or SECRET not in str(raised.value.__context__)


def test_a_key_does_not_show_its_secret() -> None:
    key = GrantKey.parse(f"kid:{SECRET}")
    assert "secret" not in repr(key)


def test_a_grant_says_for_whom_for_what_and_how_long() -> None:
    key = GrantKey.generate()
    grant = mint(key, org_id=ORG, subject=ROW, now_s=1000.9, lifetime_s=60)
    assert jwt.get_unverified_header(grant) == {"alg": "HS256", "kid": key.kid, "typ": "JWT"}
    claims = jwt.decode(grant, key.secret, algorithms=["HS256"], audience=AUDIENCE, options={"verify_exp": False})
    jti = claims.pop("jti")
    assert claims == {"org_id": str(ORG), "sub": str(ROW), "aud": AUDIENCE, "iat": 1000, "exp": 1060}
    assert len(jti) == 32

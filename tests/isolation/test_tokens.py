"""From a signed token to rows: what a user's token says of organisations, and what they see by it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import text

from schema.tenancy import user_transaction
from tests.database import Database
from tests.tokens import SECRET, KeyPair, claims, key_set
from workers.jwks import parse_key_set
from workers.signing_keys import PublishedKeys, SharedSecret
from workers.tokens import TokenRefused, Verifier

PAIR = KeyPair.make("ES256")
PUBLISHED = parse_key_set(key_set(PAIR))
ISSUERS: dict[str, tuple[Verifier, Callable[[dict[str, Any]], str]]] = {
    "secret": (Verifier(SharedSecret.parse(SECRET)), lambda given: jwt.encode(given, SECRET, "HS256")),
    "key set": (Verifier(PublishedKeys(lambda: PUBLISHED)), PAIR.token),
}


@pytest.fixture(scope="module")
def two(shared: Database) -> tuple[UUID, UUID]:
    """Organisations A and B, with two recordings each."""
    made = shared.organisation("A"), shared.organisation("B")
    for org in (*made, *made):
        shared.enqueue(org)
    return made


def seen(shared: Database, issuer: str, given: dict[str, Any]) -> list[UUID]:
    verifier, sign = ISSUERS[issuer]
    user = verifier.verify(sign(given))
    with user_transaction(shared.engine("authenticator"), user.claims) as connection:
        return list(connection.scalars(text("SELECT org_id FROM public.call_logs")))


@pytest.mark.parametrize("issuer", ISSUERS)
def test_a_user_sees_their_own_organisation_whatever_they_wrote_into_user_metadata(
    shared: Database, two: tuple[UUID, UUID], issuer: str
) -> None:
    own, other = map(str, two)
    elsewhere = {"user_metadata": {"org_id": other, "app_metadata": {"org_id": other}}, "org_id": other}
    assert seen(shared, issuer, claims(app_metadata={"org_id": own}, **elsewhere)) == [two[0], two[0]]


@pytest.mark.parametrize("issuer", ISSUERS)
def test_a_user_of_no_organisation_that_exists_sees_nothing(
    shared: Database, two: tuple[UUID, UUID], issuer: str
) -> None:
    assert seen(shared, issuer, claims(app_metadata={"org_id": str(uuid4())})) == []


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("where", ["user_metadata", "org_id"])
def test_an_organisation_that_only_the_user_wrote_gets_nobody_in(
    shared: Database, two: tuple[UUID, UUID], issuer: str, where: str
) -> None:
    named: Any = {"org_id": str(two[1])} if where == "user_metadata" else str(two[1])
    with pytest.raises(TokenRefused):
        seen(shared, issuer, claims(app_metadata=None, **{where: named}))


def test_a_link_belongs_to_the_user_of_the_token(shared: Database, two: tuple[UUID, UUID]) -> None:
    org, asked = two[0], claims(app_metadata={"org_id": str(two[0])})
    call = shared.all("SELECT id FROM call_logs WHERE org_id = %s", org)[0][0]
    shared.run(
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason) VALUES (%s, %s, %s, 'why')",
        org,
        call,
        asked["sub"],
    )
    verifier, sign = ISSUERS["secret"]
    for given, links in ((asked, 1), (asked | {"sub": str(uuid4())}, 0)):
        user = verifier.verify(sign(given))
        with user_transaction(shared.engine("authenticator"), user.claims) as connection:
            assert connection.scalar(text("SELECT count(*) FROM recording_downloads")) == links

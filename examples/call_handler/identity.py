"""Who asks: the bearer of a token, verified; and a transaction that acts as that user."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from sqlalchemy import Connection, Engine

from examples.call_handler.refusals import not_found
from schema.tenancy import user_transaction
from workers.tokens import TokenRefused, User, Verifier


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """``engine`` logs in as authenticator, which can do nothing before it has become somebody."""

    verifier: Verifier
    engine: Engine

    def user(self, request: Request) -> User:
        """The dependency of every request for users. Raises ``TokenRefused``."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefused
        return self.verifier.verify(token.strip())

    @contextmanager
    def acting_as(self, user: User) -> Iterator[Connection]:
        """A transaction as ``authenticated``, with the claims that were verified: row-level security does the rest."""
        with user_transaction(self.engine, user.claims) as connection:
            yield connection


def as_id(text: str, what: str) -> UUID:
    """What is no id names nothing."""
    try:
        return UUID(text)
    except ValueError:
        not_found(what)

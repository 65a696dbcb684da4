"""Users' tokens: who is asking, and for which organisation, proven by a signature (DESIGN section 4, issue 4).

For whoever serves users. What comes out of here is all that the database is told of a user: see
``schema.tenancy.user_transaction``. The organisation is ``app_metadata.org_id`` and nothing else: ``user_metadata`` is
the user's own to write.
"""

import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn
from uuid import UUID

import jwt
from jwt import exceptions

from workers.settings import TokenSettings
from workers.signing_keys import PublishedKeys, SharedSecret, SigningKeys
from workers.telemetry import log

_MOST_CHARACTERS = 8192
_LEEWAY_S = 10
#: A token that outlives this cannot be meant for a person: whoever finds it may use it for as long.
_LONGEST_S = 31 * 86_400
_ROLE = "authenticated"
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REQUIRED = ("exp", "iat", "sub", "aud")
_TIMES = ("exp", "iat", "nbf")
_log = log("tokens")

#: PyJWT's refusals by the check that failed; one that is not here is about the token's form.
_CHECKS: tuple[tuple[type[exceptions.PyJWTError], str], ...] = (
    (exceptions.ExpiredSignatureError, "expired"),
    (exceptions.ImmatureSignatureError, "not_yet"),
    (exceptions.InvalidAudienceError, "audience"),
    (exceptions.InvalidIssuerError, "issuer"),
    (exceptions.InvalidAlgorithmError, "algorithm"),
    (exceptions.InvalidSignatureError, "signature"),
    (exceptions.InvalidKeyError, "key"),
    (exceptions.InvalidIssuedAtError, "iat"),
    (exceptions.InvalidSubjectError, "sub"),
)


class TokenRefused(Exception):
    """401, and not a word more: what was wrong with the token is for the log, not for whoever brought it."""

    status: ClassVar[int] = 401

    def __init__(self) -> None:
        super().__init__("unauthorized")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has proven who they are."""

    user_id: UUID
    org_id: UUID

    @property
    def claims(self) -> dict[str, Any]:
        """For ``user_transaction``: built from what was verified, so that the database reads nothing else."""
        return {"sub": str(self.user_id), "role": _ROLE, "app_metadata": {"org_id": str(self.org_id)}}


class _Failed(Exception):
    """A check failed. Carries its name, and nothing of the token."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """Make one for a process and keep it: it keeps the published keys. For any number of threads."""

    keys: SigningKeys
    audience: str = "authenticated"
    issuer: str | None = None

    @classmethod
    def of(cls, settings: TokenSettings) -> "Verifier":
        keys: SigningKeys
        if settings.jwt_secret is not None:
            keys = SharedSecret.parse(settings.jwt_secret.get_secret_value())
        else:
            keys = PublishedKeys.at(str(settings.jwks_url))
        return cls(keys, settings.jwt_audience, settings.jwt_issuer)

    def verify(self, token: str) -> User:
        """Whom the token is for, or ``TokenRefused``. ``KeysUnavailable`` where no token can be judged at all."""
        try:
            return _user(self._claims(token))
        except _Failed as failed:
            check = str(failed)
        _log.warning("token_refused", check=check)
        # Out of the handler: nothing of the token hangs on the exception that the caller sees.
        raise TokenRefused

    def _claims(self, token: str) -> dict[str, Any]:
        if not isinstance(token, str) or len(token) > _MOST_CHARACTERS or not _FORM.fullmatch(token):
            raise _Failed("form")
        header = _header(token)
        # Before the key is looked for: a token that cannot be right causes no request.
        if header.get("alg") not in self.keys.algorithms:
            raise _Failed("algorithm")
        if "crit" in header or "b64" in header:
            raise _Failed("critical")
        kid = header.get("kid")
        key = self.keys.find(kid if isinstance(kid, str) else None)
        if key is None:
            raise _Failed("key")
        try:
            return _STRICT.decode(
                token,
                key,
                algorithms=list(self.keys.algorithms),
                options={"require": self._required, "enforce_minimum_key_length": True},
                audience=self.audience,
                issuer=self.issuer,
                leeway=_LEEWAY_S,
            )
        except exceptions.MissingRequiredClaimError as error:
            raise _Failed(error.claim) from None
        except exceptions.PyJWTError as error:
            raise _Failed(next((name for kind, name in _CHECKS if isinstance(error, kind)), "form")) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _Failed("form") from None

    @property
    def _required(self) -> list[str]:
        return [*_REQUIRED, "iss"] if self.issuer is not None else [*_REQUIRED]


class _Strict(jwt.PyJWT):
    """One meaning only: a claim that stands there twice, or a number that is none, is refused."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _object(decoded["payload"])


_STRICT = _Strict()


def _header(token: str) -> dict[str, Any]:
    encoded = token.partition(".")[0]
    try:
        return _object(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        raise _Failed("form") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _Failed("form")
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError


def _user(claims: dict[str, Any]) -> User:
    """What is asked of claims whose signature, times, audience and issuer are in order."""
    for name in _TIMES:
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise _Failed(name)
    # As whole numbers: a huge one less a fraction is an error of its own.
    if int(claims["exp"]) - int(claims["iat"]) > _LONGEST_S:
        raise _Failed("lifetime")
    if claims.get("role", _ROLE) != _ROLE:
        raise _Failed("role")
    metadata = claims.get("app_metadata")
    org_id = metadata.get("org_id") if isinstance(metadata, dict) else None
    return User(user_id=_uuid(claims["sub"], "sub"), org_id=_uuid(org_id, "org_id"))


def _uuid(value: object, check: str) -> UUID:
    """As it is usually written: UUID() itself also takes braces, URNs and digits of other alphabets."""
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or str(found) != str(value).lower():
        raise _Failed(check)
    return found

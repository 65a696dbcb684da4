"""Task grants: signed permission to act for one organisation (DESIGN section 5).

Minted by the dispatcher for a doorbell, verified by PostgreSQL (``app.task_org_id()``), opaque to the worker between
them: a worker holds no key, so it cannot choose for whom it acts.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID, uuid4

AUDIENCE = "recording-worker"
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class GrantKey:
    """The dispatcher's signing key. Its text form is ``kid:base64url(secret)``, as in RECORDINGS_GRANT_KEY."""

    kid: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls(kid=secrets.token_hex(4), secret=secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; ``ValueError`` says what is wrong with it and does not repeat it."""
        kid, _, encoded = text.partition(":")
        try:
            secret = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (binascii.Error, ValueError):
            secret = b""
        if not _KID.fullmatch(kid) or not _SECRET_BYTES <= len(secret) <= 64:
            message = "must be kid:base64url of 32 to 64 random bytes; make one with: recordings keys rotate"
            raise ValueError(message)
        return cls(kid=kid, secret=secret)

    @property
    def text(self) -> str:
        return f"{self.kid}:{base64.urlsafe_b64encode(self.secret).decode().rstrip('=')}"


def mint(
    key: GrantKey, *, org_id: UUID, subject: UUID, now_s: float, lifetime_s: float, also: Sequence[UUID] = ()
) -> str:
    """A grant to act for ``org_id`` until ``now_s + lifetime_s`` (Unix seconds), for the row ``subject``, and for the
    rows ``also`` behind it in the same doorbell."""
    import jwt  # noqa: PLC0415 - it brings cryptography along, 10 MB in every worker, which mints none

    claims: dict[str, Any] = {
        "org_id": str(org_id),
        "sub": str(subject),
        "aud": AUDIENCE,
        "iat": int(now_s),
        "exp": int(now_s + lifetime_s),
        "jti": uuid4().hex,
    }
    if also:
        claims["also"] = [str(row) for row in also]
    return jwt.encode(claims, key.secret, algorithm="HS256", headers={"kid": key.kid})


def vouch(key: GrantKey, grant: str, *, org_id: UUID, now_s: float, lifetime_s: float) -> tuple[str, str]:
    """The memo of a grant and its proof, as ``app.task_org_id()`` itself writes them down once it has verified it. Told
    by whoever made the grant, from the same figures, they save it that (decision 29)."""
    memo = f"{org_id} {int(now_s + lifetime_s)} {key.kid}"
    proof = hmac.digest(key.secret, f"memo:{memo} {grant}".encode(), hashlib.sha256)
    return memo, base64.b64encode(proof).decode()

"""Users' tokens as an issuer signs them, and as nobody should: any header, any payload text, any key."""

import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a-secret-of-forty-characters-for-tests!!"
Sign = Callable[[bytes], bytes]


def claims(**more: Any) -> dict[str, Any]:
    """Those of a user of some organisation, as Supabase issues them. ``None`` takes one out."""
    now = int(time.time())
    usual = {
        "sub": str(uuid4()),
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
        "app_metadata": {"org_id": str(uuid4()), "provider": "email"},
        "user_metadata": {"org_id": str(uuid4())},
    }
    return {name: value for name, value in (usual | more).items() if value is not None}


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def hs256(secret: str = SECRET) -> Sign:
    return lambda text: hmac.new(secret.encode(), text, hashlib.sha256).digest()


def written(header: dict[str, Any] | str, payload: dict[str, Any] | str, sign: Sign | None = None) -> str:
    """A token of exactly these texts, signed with the shared secret unless somebody else signs."""
    parts = (part if isinstance(part, str) else json.dumps(part) for part in (header, payload))
    text = ".".join(encoded(part.encode()) for part in parts)
    return f"{text}.{encoded((sign or hs256())(text.encode()))}"


@dataclass(frozen=True)
class KeyPair:
    """One of an issuer's, by its kid."""

    kid: str
    algorithm: str
    private: Any = field(repr=False)

    @classmethod
    def make(cls, algorithm: str, kid: str = "") -> "KeyPair":
        made = {
            "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()
        return cls(kid or uuid4().hex, algorithm, made)

    @property
    def jwk(self) -> dict[str, Any]:
        public = self.private.public_key()
        kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[self.algorithm]
        return dict(kind.to_jwk(public, as_dict=True)) | {"kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(self, given: dict[str, Any] | None = None, **header: Any) -> str:
        return jwt.encode(given or claims(), self.private, self.algorithm, {"kid": self.kid} | header)


def key_set(*pairs: KeyPair | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [pair.jwk if isinstance(pair, KeyPair) else pair for pair in pairs]}).encode()

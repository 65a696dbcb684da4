"""A provider's credentials, and how they lie in ``integrations``: sealed with AES-256-GCM, bound to their organisation.

    version (1 byte) | length of the key id (1) | key id | nonce (12) | ciphertext and tag

The organisation and the provider are associated data: a sealed value copied into another organisation's row, or under
another provider, does not open. The key never enters PostgreSQL.
"""

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from workers.errors import CredentialsMissing

_VERSION = 1
_NONCE = 12
_KEY = 32
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a provider wants to see: Twilio an account SID and a token, Vapi a key. Neither shows in a repr."""

    secret: str = field(repr=False)
    username: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SealKey:
    """One sealing key and its id. Text form: ``kid:base64url(32 bytes)``."""

    kid: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        return cls(f"s{secrets.token_hex(4)}", secrets.token_bytes(_KEY))

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError, without the text in it, if this is no key."""
        kid, _, encoded = text.strip().partition(":")
        try:
            secret = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except ValueError:
            secret = b""
        if not _KID.fullmatch(kid) or len(secret) != _KEY:
            raise ValueError("a seal key is written kid:base64url of 32 bytes") from None
        return cls(kid, secret)

    @property
    def text(self) -> str:
        return f"{self.kid}:{urlsafe_b64encode(self.secret).rstrip(b'=').decode()}"


def parse_seal_keys(text: str) -> tuple[SealKey, ...]:
    """The keys of RECORDINGS_SEAL_KEY, separated by commas: the first seals, all of them open. ValueError, without the
    text in it, if one is no key or two have the same id."""
    keys = tuple(SealKey.parse(part) for part in text.split(","))
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("two seal keys have the same id: values sealed with one of them would not open")
    return keys


def seal(key: SealKey, org_id: UUID, provider: str, credentials: Credentials) -> bytes:
    """The credentials as ``integrations`` keeps them. Sealing twice gives two different values."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 8 MB, where nothing is sealed

    header = bytes([_VERSION, len(key.kid)]) + key.kid.encode()
    nonce = secrets.token_bytes(_NONCE)
    plain = json.dumps({"username": credentials.username, "secret": credentials.secret}).encode()
    return header + nonce + AESGCM(key.secret).encrypt(nonce, plain, _bound_to(header, org_id, provider))


def unseal(keys: Iterable[SealKey], org_id: UUID, provider: str, sealed: bytes) -> Credentials:
    """The credentials, by whichever of ``keys`` sealed them (several while a key is being rotated). Raises
    CredentialsMissing if they were altered, belong elsewhere, or no key fits."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    kid, header, rest = _split(sealed)
    key = next((key for key in keys if key.kid == kid), None)
    if key is None:
        raise CredentialsMissing("The stored credentials were sealed with a key that this process does not have.")
    try:
        plain = AESGCM(key.secret).decrypt(rest[:_NONCE], rest[_NONCE:], _bound_to(header, org_id, provider))
    except (InvalidTag, ValueError):
        raise CredentialsMissing("The stored credentials do not open: altered, or of another organisation.") from None
    found = json.loads(plain)
    return Credentials(secret=found["secret"], username=found["username"])


def _bound_to(header: bytes, org_id: UUID, provider: str) -> bytes:
    return header + org_id.bytes + provider.encode()


def _split(sealed: bytes) -> tuple[str, bytes, bytes]:
    if len(sealed) < 2 or sealed[0] != _VERSION:
        raise CredentialsMissing("The stored credentials are not in a known form.")
    end = 2 + sealed[1]
    return sealed[2:end].decode("ascii", "replace"), sealed[:end], sealed[end:]

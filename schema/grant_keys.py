"""Keys of the task grants, as the database keeps them (DESIGN section 5). All as administrator."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

_BLOCK = 64  # bytes of an HMAC-SHA256 block (RFC 2104)

_LIST = """
SELECT kid, created_at, extract(epoch FROM now() - created_at)::double precision, expires_at,
       extract(epoch FROM expires_at - now())::double precision
FROM app.grant_keys ORDER BY created_at DESC, kid
"""

_AUDIT = "INSERT INTO public.audit_log (actor, action, reason, detail) VALUES (session_user, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class InstalledKey:
    """A key that grants are verified with: until ``expires_at``, or without an end. Ages in seconds."""

    kid: str
    created_at: datetime
    age_s: float
    expires_at: datetime | None
    left_s: float | None

    @property
    def is_live(self) -> bool:
        return self.left_s is None or self.left_s > 0


def pads(secret: bytes) -> tuple[bytes, bytes]:
    """The inner and outer pad of HMAC-SHA256: with them two plain sha256() calls make the MAC, without an extension."""
    if not 32 <= len(secret) <= _BLOCK:  # shorter is weak, longer would have to be hashed first
        message = "a grant key has 32 to 64 bytes"
        raise ValueError(message)
    block = secret.ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def install(database_url: str, kid: str, secret: bytes) -> bool:
    """Make grants signed with this key valid. True if the key was new; a known kid is left alone, revoked or not."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(
            "INSERT INTO app.grant_keys (kid, inner_pad, outer_pad) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (kid, *pads(secret)),
        )
        return cursor.rowcount == 1


def installed(database_url: str) -> tuple[InstalledKey, ...]:
    """Every key that ever was, the newest first."""
    with psycopg.connect(database_url) as connection:
        return tuple(InstalledKey(*row) for row in connection.execute(_LIST))


def retire_others(database_url: str, kid: str, *, overlap: timedelta) -> int:
    """Let every older key run out after ``overlap``, if not sooner: long enough for the grants in messages. Returns how
    many, and leaves an audit row. (Older: of two who rotate at once, neither ends the other's.)"""
    with psycopg.connect(database_url) as connection:
        retired = connection.execute(
            "UPDATE app.grant_keys SET expires_at = now() + %(overlap)s "
            "WHERE created_at < (SELECT created_at FROM app.grant_keys WHERE kid = %(kid)s) "
            "AND (expires_at IS NULL OR expires_at > now() + %(overlap)s) RETURNING kid",
            {"overlap": overlap, "kid": kid},
        ).fetchall()
        detail = {"kid": kid, "retired": [row[0] for row in retired], "overlap_s": overlap.total_seconds()}
        connection.execute(_AUDIT, ("grant_key_rotated", None, Jsonb(detail)))
    return len(retired)


def revoke(database_url: str, kid: str, *, reason: str) -> bool:
    """No grant of this key is good any more, from now on. Leaves an audit row; False if the key is not live."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(
            "UPDATE app.grant_keys SET expires_at = now() "
            "WHERE kid = %s AND (expires_at IS NULL OR expires_at > now())",
            (kid,),
        )
        if cursor.rowcount:
            connection.execute(_AUDIT, ("grant_key_revoked", reason, Jsonb({"kid": kid})))
        return cursor.rowcount == 1

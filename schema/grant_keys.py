"""Keys of the task grants, as the database keeps them (DESIGN section 5)."""

from datetime import timedelta

import psycopg

_BLOCK = 64  # bytes of an HMAC-SHA256 block (RFC 2104)


def pads(secret: bytes) -> tuple[bytes, bytes]:
    """The inner and outer pad of HMAC-SHA256: with them two plain sha256() calls make the MAC, without an extension."""
    if not 32 <= len(secret) <= _BLOCK:  # shorter is weak, longer would have to be hashed first
        message = "a grant key has 32 to 64 bytes"
        raise ValueError(message)
    block = secret.ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def install(database_url: str, kid: str, secret: bytes) -> bool:
    """Make grants signed with this key valid, as administrator. True if the key was new; a known kid is left alone."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(
            "INSERT INTO app.grant_keys (kid, inner_pad, outer_pad) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (kid, *pads(secret)),
        )
        return cursor.rowcount == 1


def retire_others(database_url: str, kid: str, *, overlap: timedelta) -> int:
    """Let every other key run out after ``overlap``: long enough for the grants in messages. Returns how many."""
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(
            "UPDATE app.grant_keys SET expires_at = now() + %s WHERE kid <> %s AND expires_at IS NULL", (overlap, kid)
        )
        return cursor.rowcount

"""Keys: of grants, which PostgreSQL verifies and the dispatcher signs; and the seal of providers' credentials."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from schema.grant_keys import pads
from workers.credentials import parse_seal_keys
from workers.doctor.database import ask
from workers.doctor.patient import Patient
from workers.doctor.result import Result, ok, unseen, warning, wrong
from workers.grants import GrantKey

_OLD_DAYS = 180
_GRANT_KEYS = """
SELECT kid, inner_pad, extract(epoch FROM now() - created_at)::double precision / 86400,
       extract(epoch FROM expires_at - now())::double precision
FROM app.grant_keys
"""
_SEALED = "SELECT key_id, count(*) FROM public.integrations WHERE key_id IS NOT NULL GROUP BY key_id"
_ROTATE = "run: recordings keys rotate, and give the dispatcher the key that it prints"


@dataclass(frozen=True, slots=True)
class Installed:
    """A grant key as the database has it. ``expires_s``: from now, negative when it has run out, None if never."""

    kid: str
    inner_pad: bytes
    age_days: float
    expires_s: float | None

    @property
    def is_valid(self) -> bool:
        return self.expires_s is None or self.expires_s > 0


def check(connection: psycopg.Connection[Any], patient: Patient) -> Iterator[Result]:
    rows = ask(connection, _GRANT_KEYS)
    if not rows and rows is not None and not _sees_all(connection):
        rows = None
    if rows is None:
        yield unseen("keys.grants", "not checked: this login may not see the grant keys")
    else:
        yield from judge_grants([Installed(*row) for row in rows], patient.get("RECORDINGS_GRANT_KEY"))
    sealed = ask(connection, _SEALED)
    if sealed is None or (not sealed and not _sees_all(connection)):
        yield unseen("keys.seal", "not checked: this login may not see with which key credentials are sealed")
    else:
        yield judge_seal(dict(sealed), patient.get("RECORDINGS_SEAL_KEY"))


def _sees_all(connection: psycopg.Connection[Any]) -> bool:
    """Row-level security may have left nothing to see, without saying so."""
    return ask(connection, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(True,)]


def judge_grants(installed: Sequence[Installed], dispatchers: str) -> Iterator[Result]:
    valid = [key for key in installed if key.is_valid]
    if not valid:
        yield wrong("keys.grants", "no grant key is valid: every worker is refused", _ROTATE)
        return
    newest = min(valid, key=lambda key: key.age_days)
    standing = [key for key in valid if key.expires_s is None]
    if not standing:
        left_h = max(key.expires_s or 0.0 for key in valid) / 3600
        yield wrong("keys.grants", f"every grant key runs out, the last in {left_h:.1f} h", _ROTATE)
    elif newest.age_days > _OLD_DAYS:
        yield warning("keys.grants", f"the newest grant key is {newest.age_days:.0f} days old", _ROTATE)
    else:
        yield ok("keys.grants", f"grant key {newest.kid} is valid, {newest.age_days:.0f} days old")
    if len(standing) > 1:
        kids = ", ".join(sorted(key.kid for key in standing))
        yield warning("keys.grants", f"{len(standing)} grant keys never run out ({kids}): one signs", _ROTATE)
    yield _dispatchers(valid, dispatchers)


def _dispatchers(valid: Sequence[Installed], text: str) -> Result:
    if not text:
        return unseen("keys.dispatcher", "not checked: RECORDINGS_GRANT_KEY is not set")
    try:
        key = GrantKey.parse(text)
    except ValueError as error:
        return wrong("keys.dispatcher", f"RECORDINGS_GRANT_KEY {error}", _ROTATE)
    for known in valid:
        if known.kid == key.kid and bytes(known.inner_pad) == pads(key.secret)[0]:
            return ok("keys.dispatcher", f"what is signed with RECORDINGS_GRANT_KEY ({key.kid}) is believed")
    return wrong(
        "keys.dispatcher",
        f"what is signed with RECORDINGS_GRANT_KEY ({key.kid}) is refused: the database has no such key, or has "
        "another one by this name, or it ran out",
        "run: recordings migrate with this key set; or recordings keys rotate",
    )


def judge_seal(sealed: Mapping[str, int], text: str) -> Result:
    """``sealed``: how many credentials by the key's id."""
    if not text:
        if not sealed:
            return ok("keys.seal", "no credentials are stored that would need RECORDINGS_SEAL_KEY")
        return unseen("keys.seal", "not checked: RECORDINGS_SEAL_KEY is not set")
    try:
        ours = {key.kid for key in parse_seal_keys(text)}
    except ValueError as error:
        return wrong("keys.seal", f"RECORDINGS_SEAL_KEY: {error}", "set the key that the credentials are sealed with")
    lost = sum(count for kid, count in sealed.items() if kid not in ours)
    if lost:
        remedy = "add the older key to RECORDINGS_SEAL_KEY, behind a comma, or store those credentials again"
        return wrong("keys.seal", f"{lost} stored credentials do not open: sealed with another key", remedy)
    return ok("keys.seal", f"RECORDINGS_SEAL_KEY has the keys of all {sum(sealed.values())} stored credentials")

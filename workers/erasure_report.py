"""Erasures and legal holds, over all organisations, as operators see and ask for them. Runs as recording_ops, which
changes nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

_LIST = """
SELECT id, org_id, call_id, cause, reason, error_code, created_at, claimed_at, erased_at, objects FROM app.erasures
WHERE (%(org_id)s::uuid IS NULL OR org_id = %(org_id)s) AND (erased_at IS NULL OR NOT %(only_open)s)
ORDER BY created_at DESC, id LIMIT %(limit)s
"""
_OF_CALL = "SELECT error_code FROM app.erasures WHERE call_id = %s"
_RECEIPT = """
SELECT at, org_id, reason, detail FROM public.audit_log
WHERE subject_id = %s AND action = 'recording_erased' ORDER BY at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of app.erasures."""

    id: UUID
    org_id: UUID
    call_id: UUID
    cause: str
    reason: str
    error_code: str | None
    created_at: datetime
    claimed_at: datetime | None
    erased_at: datetime | None
    objects: int

    @property
    def state(self) -> str:
        """``erased``, the code that it waits with, or whether a worker has begun."""
        return "erased" if self.erased_at else self.error_code or ("erasing" if self.claimed_at else "planned")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the database wrote down when nothing was left. ``detail`` has the recordings' SHA-256 and sizes."""

    erased_at: datetime
    org_id: UUID
    reason: str
    detail: Mapping[str, Any]

    @property
    def hashes(self) -> Sequence[str]:
        return [str(one["sha256"]) for one in self.detail["recordings"]]


def read_erasures(
    connection: psycopg.Connection[Any], *, org_id: UUID | None, only_open: bool, limit: int
) -> Sequence[Planned]:
    """The newest first."""
    wanted = {"org_id": org_id, "only_open": only_open, "limit": limit}
    return [Planned(*row) for row in connection.execute(_LIST, wanted).fetchall()]


def read_receipt(connection: psycopg.Connection[Any], call_id: UUID) -> Receipt | None:
    """None until the recording is erased."""
    row = connection.execute(_RECEIPT, (call_id,)).fetchone()
    return Receipt(*row) if row else None


def read_code(connection: psycopg.Connection[Any], call_id: UUID) -> str | None:
    """Why a planned erasure is not done yet; None while nothing has stopped it."""
    row = connection.execute(_OF_CALL, (call_id,)).fetchone()
    return row[0] if row else None


def erase(connection: psycopg.Connection[Any], call_id: UUID, reason: str, actor: str) -> str:
    """What ``erase_recording`` answers. A mistake is psycopg's error, in plain words."""
    return _act(connection, actor, "SELECT public.erase_recording(%s, %s)", call_id, reason)


def hold(connection: psycopg.Connection[Any], call_id: UUID, reason: str, actor: str, *, held: bool) -> str:
    """What ``set_legal_hold`` answers."""
    return _act(connection, actor, "SELECT public.set_legal_hold(%s, %s, %s)", call_id, held, reason)


def _act(connection: psycopg.Connection[Any], actor: str, statement: str, *parameters: object) -> str:
    with connection.transaction():
        connection.execute("SELECT set_config('app.actor', %s, true)", (actor,))
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None  # noqa: S101 - a function returns something
    return str(row[0])

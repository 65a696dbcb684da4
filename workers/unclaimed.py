"""Calls that came in and belong to nobody known, as operators see them; and saying whose they are. Runs as
recording_ops, which reads neither their URL nor who spoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

_LIST = """
SELECT id, provider, provider_call_id, provider_agent_id, phone_number, why, deliveries, received_at, last_received_at
FROM app.unclaimed_calls WHERE %(why)s::text IS NULL OR why = %(why)s ORDER BY received_at, id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A kept call. ``phone_number`` is the line that was called, or that called: an organisation's."""

    id: UUID
    provider: str
    provider_call_id: str
    provider_agent_id: str | None
    phone_number: str | None
    why: str
    deliveries: int
    received_at: datetime
    last_received_at: datetime


def read_unclaimed(connection: psycopg.Connection[Any], *, why: str | None, limit: int) -> Sequence[Unclaimed]:
    """The oldest first."""
    return [Unclaimed(*row) for row in connection.execute(_LIST, {"why": why, "limit": limit}).fetchall()]


def assign(connection: psycopg.Connection[Any], call_id: UUID, org_id: UUID, reason: str, actor: str) -> str:
    """``assigned`` or ``not_found``. A mistake is psycopg's error, in plain words."""
    return _call(connection, "SELECT public.assign_unclaimed_call(%s, %s, %s)", (call_id, org_id, reason), actor)


def discard(connection: psycopg.Connection[Any], call_id: UUID, reason: str, actor: str) -> str:
    """``discarded`` or ``not_found``."""
    return _call(connection, "SELECT public.discard_unclaimed_call(%s, %s)", (call_id, reason), actor)


def _call(connection: psycopg.Connection[Any], statement: str, parameters: tuple[object, ...], actor: str) -> str:
    with connection.transaction():
        connection.execute("SELECT set_config('app.actor', %s, true)", (actor,))
        row = connection.execute(statement, parameters).fetchone()
    assert row is not None  # noqa: S101 - a function returns something
    return str(row[0])

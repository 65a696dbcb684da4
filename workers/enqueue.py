"""Enqueueing from Python: one call to the database's ``enqueue_recording()``, in the caller's own transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg


@dataclass(frozen=True, slots=True)
class Enqueued:
    """``created`` is False when the recording was known already: its URL was refreshed, unless it is stored."""

    call_id: UUID
    upload_id: UUID
    created: bool


_ENQUEUE = """
SELECT call_id, upload_id, created FROM public.enqueue_recording(
    org_id => %(org_id)s, provider => %(provider)s, provider_call_id => %(provider_call_id)s,
    source_url => %(source_url)s, recording_id => %(recording_id)s, priority => %(priority)s)
"""


def enqueue(
    connection: psycopg.Connection[Any],
    *,
    org_id: UUID,
    provider: str,
    provider_call_id: str,
    source_url: str,
    recording_id: str | None = None,
    priority: int = 5,
) -> Enqueued:
    """Enqueue a recording, as login ``call_handler``. It is there if the transaction commits and gone if it does not.

    Enqueueing twice is enqueueing once. Bad arguments raise psycopg's ``InvalidParameterValue`` (22023), an unknown
    organisation ``ForeignKeyViolation`` (23503); both say what to change.
    """
    parameters = {
        "org_id": org_id,
        "provider": provider,
        "provider_call_id": provider_call_id,
        "source_url": source_url,
        "recording_id": recording_id,
        "priority": priority,
    }
    row = connection.execute(_ENQUEUE, parameters).fetchone()
    assert row is not None  # noqa: S101 - the function returns one row or raises
    return Enqueued(*row)

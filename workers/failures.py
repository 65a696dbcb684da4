"""The failures that are open in ``failed_recording_uploads``, as login ``recording_ops``: found, counted, gone through.

Always by filter, and in the order of their first failure. What can be done about them is in ``repair.py``.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from workers.errors import AttemptError, Final, ForOperator, NotReady, Retryable, StoreDenied

_PAGE = 1000


#: Every code, and the branch of the tree that says who acts next on it.
CODES: dict[str, type[AttemptError]] = {
    leaf.code: branch for branch in (Retryable, NotReady, ForOperator, Final) for leaf in branch.__subclasses__()
}


def acts_next(code: str, *, is_given_up: bool) -> str:
    """``retry`` (it is tried again by itself), ``operator`` or ``nobody``.

    What was given up is the operator's, unless no try can succeed. A store that refuses is the operator's while it is
    still tried; a provider that refused is tried only because somebody has retried it.
    """
    if is_given_up:
        return "nobody" if CODES.get(code) is Final else "operator"
    return "operator" if code == StoreDenied.code else "retry"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which open failures. ``since`` and ``until`` are about the last failure; ``ids`` are of failures or of uploads;
    nothing given: all of them."""

    ids: tuple[UUID, ...] = ()
    org_id: UUID | None = None
    codes: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    given_up: bool = False

    @property
    def is_empty(self) -> bool:
        return self == Filter()

    def as_parameters(self) -> dict[str, Any]:
        return asdict(self) | {"ids": list(self.ids), "codes": list(self.codes)}


@dataclass(frozen=True, slots=True)
class Failure:
    """An open failure, with what its upload is, and no URL."""

    id: UUID
    upload_id: UUID
    org_id: UUID
    organisation: str
    call_id: UUID
    provider: str
    priority: int
    status: str
    error_code: str
    failure_count: int
    first_failed_at: datetime
    last_failed_at: datetime
    next_retry_at: datetime | None
    given_up_at: datetime | None

    @property
    def acts_next(self) -> str:
        return acts_next(self.error_code, is_given_up=self.given_up_at is not None)


@dataclass(frozen=True, slots=True)
class Group:
    """Open failures of one organisation with one code."""

    org_id: UUID
    organisation: str
    error_code: str
    failures: int
    given_up: int


_MATCHING = """
FROM public.failed_recording_uploads AS f
JOIN public.organizations AS o ON o.id = f.org_id
JOIN public.recording_upload_queue AS q ON q.id = f.upload_id
WHERE f.resolved_at IS NULL
  AND (%(ids)s::uuid[] = '{}' OR f.id = ANY(%(ids)s) OR f.upload_id = ANY(%(ids)s))
  AND (%(org_id)s::uuid IS NULL OR f.org_id = %(org_id)s)
  AND (%(codes)s::text[] = '{}' OR f.error_code = ANY(%(codes)s))
  AND (%(since)s::timestamptz IS NULL OR f.last_failed_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR f.last_failed_at < %(until)s)
  AND (%(provider)s::text IS NULL OR q.provider = %(provider)s)
  AND (NOT %(given_up)s OR f.given_up_at IS NOT NULL)
"""

_LIST = f"""
SELECT f.id, f.upload_id, f.org_id, o.name AS organisation, f.call_id, q.provider, q.priority, q.status, f.error_code,
       f.failure_count, f.first_failed_at, f.last_failed_at, f.next_retry_at, f.given_up_at
{_MATCHING} ORDER BY f.first_failed_at, f.id LIMIT %(limit)s
"""

_GROUPS = f"""
SELECT org_id, organisation, error_code, count(*) AS failures, count(given_up_at) AS given_up
FROM (SELECT f.org_id, o.name AS organisation, f.error_code, f.given_up_at
      {_MATCHING} ORDER BY f.first_failed_at, f.id LIMIT %(limit)s) AS f
GROUP BY org_id, organisation, error_code ORDER BY count(*) DESC, organisation, org_id, error_code
"""

# By place, not by offset: what was retried stays open until it completes, and what was discarded is gone from the list.
# Failures younger than the run are for the next one: a run that goes on for an hour would never end otherwise.
_NEXT_PAGE = f"""
SELECT f.upload_id, f.first_failed_at, f.id
{_MATCHING}
  AND f.first_failed_at <= %(as_of)s AND (f.first_failed_at, f.id) > (%(after)s::timestamptz, %(after_id)s::uuid)
ORDER BY f.first_failed_at, f.id LIMIT %(limit)s
"""


def matching(connection: psycopg.Connection[Any], wanted: Filter, *, limit: int | None = None) -> list[Failure]:
    """Open failures, oldest first."""
    with connection.cursor(row_factory=class_row(Failure)) as cursor:
        return cursor.execute(_LIST, wanted.as_parameters() | {"limit": limit}).fetchall()


def groups(connection: psycopg.Connection[Any], wanted: Filter, *, limit: int | None = None) -> list[Group]:
    """How many there are, by organisation and code, most first; with a limit, among the oldest so many."""
    with connection.cursor(row_factory=class_row(Group)) as cursor:
        return cursor.execute(_GROUPS, wanted.as_parameters() | {"limit": limit}).fetchall()


def upload_ids(
    connection: psycopg.Connection[Any], wanted: Filter, *, limit: int | None = None, page: int = _PAGE
) -> Iterator[UUID]:
    """The uploads of the failures that are open now, by their first failure, a page of them in memory at a time."""
    found = connection.execute("SELECT now()").fetchone()
    parameters = wanted.as_parameters() | {"as_of": found[0] if found else None}
    after: tuple[Any, Any] = ("-infinity", UUID(int=0))
    left = math.inf if limit is None else limit
    while left > 0:
        size = int(min(page, left))
        place = {"after": after[0], "after_id": after[1], "limit": size}
        rows = connection.execute(_NEXT_PAGE, parameters | place).fetchall()
        yield from (row[0] for row in rows)
        if len(rows) < size:
            return
        after, left = rows[-1][1:], left - size

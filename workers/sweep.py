"""What an organisation's part of the bucket says beside its rows: a pure comparison, which decides and does nothing.

Objects and rows come in the order of their keys' bytes and are held one at a time. Nothing is concluded from a row's
absence alone: an object is an orphan when it is old, its key is one of ours, and its upload is settled without it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import merge
from itertools import groupby
from uuid import UUID

from workers.states import Status

_KEY = re.compile(
    r"(?P<org>[0-9a-f-]{36})/\d{4}/(0[1-9]|1[0-2])/[0-9a-f-]{36}/(?P<upload>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"(\.[0-9a-f]{16})?\.[a-z0-9]{1,8}",
    re.ASCII,
)
#: An upload of a call whose erasure is planned, and one of which it is done.
ERASING, ERASED = "erasing", "erased"
_UNSETTLED = frozenset({Status.PENDING, Status.PROCESSING, ERASING})


class Code(StrEnum):
    """What is wrong. The code says who acts next: nobody for the first two, a person for the others."""

    #: An object that no row names, of an upload that is settled without it.
    ORPHANED = "object_orphaned"
    #: A multipart upload that nobody goes on with. It costs money and shows in no listing of objects.
    STALE = "multipart_stale"
    #: A completed row whose object is not there.
    MISSING = "object_missing"
    #: A completed row whose object has another size or another SHA-256.
    DIFFERS = "object_differs"
    #: Under the organisation's prefix, and not by this system.
    UNKNOWN = "object_unknown"


class Action(StrEnum):
    """What the sweep did about it."""

    REPORTED = "reported"
    #: Moved, every byte of it, to ``quarantine/``.
    QUARANTINED = "quarantined"
    ABORTED = "aborted"
    #: Deleted, every version of it: what came after its erasure, from a worker that was thought dead.
    ERASED = "erased"
    #: The missing object was in quarantine, with the row's size and SHA-256, and is back.
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload that was neither completed nor aborted. Several may have one key."""

    key: str
    multipart_id: str
    initiated_at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A completed row, or one of its renditions: what should be stored. ``sha256`` is lower-case hex."""

    upload_id: UUID
    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One key: its object, if one is listed, and the rows that name it."""

    key: str
    listed: Listed | None
    kept: tuple[Kept, ...]

    @property
    def doubtful(self) -> tuple[Kept, ...]:
        """The rows whose object is not listed, or not with their size."""
        return tuple(row for row in self.kept if self.listed is None or self.listed.size_bytes != row.size_bytes)


@dataclass(frozen=True, slots=True)
class Fate:
    """How the upload that a key names stands, as its row does, or ``ERASING``, ``ERASED``: object and renditions."""

    status: str
    object_key: str | None
    renditions: frozenset[str] = frozenset()

    def names(self, key: str) -> bool:
        return key == self.object_key or key in self.renditions


def side_by_side(listed: Iterable[Listed], kept: Iterable[Kept]) -> Iterator[Pair]:
    """Every key of either side once, in order, if both sides are in order. Where a store lists in another (SeaweedFS
    does, of keys that are not ours), an object and its row may come apart: what looks like a finding is to be looked at
    again by its key."""
    members: Iterator[Listed | Kept] = merge(_either(listed), _either(kept), key=_key)
    for key, group in groupby(members, key=_key):
        found = tuple(group)
        objects = [member for member in found if isinstance(member, Listed)]
        rows = tuple(member for member in found if isinstance(member, Kept))
        yield Pair(key, objects[0] if objects else None, rows)


def _either(members: Iterable[Listed] | Iterable[Kept]) -> Iterable[Listed | Kept]:
    return members


def _key(member: Listed | Kept) -> str:
    return member.key


def upload_of(key: str, org_id: UUID) -> UUID | None:
    """The upload that a key of this organisation names; ``None`` if it is not one that ``object_key`` makes."""
    match = _KEY.fullmatch(key)
    return UUID(match["upload"]) if match and match["org"] == str(org_id) else None


def is_old(since: datetime, *, now: datetime, grace: timedelta) -> bool:
    return since <= now - grace


def is_abandoned(key: str, fate: Fate | None) -> bool:
    """Whether nothing will come of an object that no completed row was seen to name: its upload does not exist, or it
    is settled and names another object or none."""
    return fate is None or (fate.status not in _UNSETTLED and not fate.names(key))


def is_stale(fate: Fate | None) -> bool:
    """Whether no live attempt can be at work on a multipart upload of this fate. There is no object yet to lose."""
    return fate is None or fate.status != Status.PROCESSING


def differs(row: Kept, *, size_bytes: int, sha256: str | None) -> bool:
    """Whether what is stored is not what the row says. Without a checksum of the whole, only the size tells."""
    return size_bytes != row.size_bytes or (sha256 is not None and sha256 != row.sha256)

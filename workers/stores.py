"""Where a worker process gets an organisation's store: one bucket, and where a role is given, one set of credentials
for each organisation."""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol
from uuid import UUID

from workers.role import Role
from workers.store import Store

#: Organisations whose credentials are kept. One more costs a question to STS, not a refusal.
MOST_KEPT = 256
#: Nobody's part of the bucket: to ask whether the store answers.
NOBODY = UUID(int=0)


class Storage(Protocol):
    """What uploads and sweeps get. There is no way from here to an object without saying whose."""

    def within(self, org_id: UUID) -> Store:
        """The organisation's store."""

    def check(self) -> None:
        """Raises StoreDenied or StoreUnavailable if nothing can be stored now."""

    def close(self) -> None:
        """Let go of the connections."""


@dataclass(frozen=True, slots=True)
class RoleStores:
    """Thread-safe. ``whole`` holds the connections, and is never asked for anything with credentials of its own."""

    whole: Store
    role: Role
    _kept: "OrderedDict[UUID, Store]" = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def within(self, org_id: UUID) -> Store:
        with self._lock:
            found = self._kept.pop(org_id, None) or self.whole.within(org_id, self.role.credentials(org_id))
            self._kept[org_id] = found
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    def check(self) -> None:
        self.within(NOBODY).check()

    def close(self) -> None:
        self.whole.close()

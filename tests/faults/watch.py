"""Looks at the queue ten times a second: how far it is, and whether an organisation has more in flight than its cap."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from tests.faults.eyes import Eyes

EVERY_S = 0.1
#: Not looked for so long (the database was away): whatever is there may have been gone meanwhile.
BLIND_S = 0.5
_IN_FLIGHT = """
SELECT id::text, org_id::text, status, attempt FROM recording_upload_queue
WHERE status = 'processing' AND (lease_expires_at > now() OR dispatched_until > now())
   OR status = 'pending' AND dispatched_until > now()
"""
_STATUS = "SELECT status, count(*) FROM recording_upload_queue GROUP BY status"
STATUS_EVERY = 10


@dataclass(frozen=True, slots=True)
class Breach:
    """An organisation with more in flight than it may have, by the dispatcher's own count."""

    at_s: float
    org_id: str
    in_flight: int


class Watch(threading.Thread):
    """The cap is the dispatcher's to keep: it counts live leases and marks, and rings for no more. What nobody can keep
    from coming back is a row whose lease or mark ran out while its worker or the database stood still, and whose worker
    goes on then: it takes its place again, though another row has been rung for meanwhile. ``most`` counts those,
    ``breaches`` are beyond them."""

    def __init__(self, *, database_url: str, cap: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.eyes, self.cap = Eyes(database_url), cap
        self.most = self.looks = 0
        self.breaches: list[Breach] = []
        self.status: dict[str, int] = {}
        self.leaving = threading.Event()
        self._last: dict[str, tuple[str, int]] = {}
        self._flying: set[str] = set()
        self._returned: set[str] = set()

    def run(self) -> None:
        began = looked = time.monotonic()
        while not self.leaving.wait(EVERY_S):
            rows = self.eyes.ask(_IN_FLIGHT)
            if rows is None:
                continue
            self.looks += 1
            if time.monotonic() - looked > BLIND_S:
                self._flying.clear()
            looked = time.monotonic()
            self.note({row[0]: (row[2], row[3]) for row in rows})
            in_flight = Counter(row[1] for row in rows)
            dispatched = Counter(row[1] for row in rows if row[0] not in self._returned)
            self.most = max([self.most, *in_flight.values()])
            at_s = time.monotonic() - began
            self.breaches += [Breach(at_s, org_id, count) for org_id, count in dispatched.items() if count > self.cap]
            if self.looks % STATUS_EVERY == 1:
                self.status = dict(self.eyes.ask(_STATUS) or self.status)
        self.eyes.close()

    def note(self, seen: dict[str, tuple[str, int]]) -> None:
        """Who came back: not there the last time, and before that with this very attempt, or rung for as the one that
        it claims now."""
        for row_id in seen.keys() - self._flying:
            status, attempt = seen[row_id]
            if self._last.get(row_id) in {("processing", attempt), ("pending", attempt - 1)} and status == "processing":
                self._returned.add(row_id)
        self._returned &= seen.keys()
        self._flying = set(seen)
        self._last |= seen

"""Looks at the queue ten times a second: how far it is, and whether an organisation has more in flight than its cap."""

import threading
import time
from collections import Counter
from dataclasses import dataclass

from tests.faults.eyes import Eyes
from tests.faults.stage import LEASE_S

EVERY_S = 0.1
_IN_FLIGHT = """
SELECT id::text, org_id::text, status, attempt,
       extract(epoch FROM greatest(lease_expires_at, dispatched_until))::double precision,
       extract(epoch FROM lease_expires_at)::double precision
FROM recording_upload_queue
WHERE status = 'processing' AND (lease_expires_at > now() OR dispatched_until > now())
   OR status = 'pending' AND dispatched_until > now()
"""
_STATUS = "SELECT status, count(*) FROM recording_upload_queue GROUP BY status"
STATUS_EVERY = 10


@dataclass(frozen=True, slots=True)
class Sight:
    """A row in flight, by the database's clock: until when, and for a claimed one, until when it is leased."""

    status: str
    attempt: int
    until: float
    leased_until: float | None

    def follows(self, before: "Sight") -> bool:
        """The same attempt, or the claim of what was rung for then."""
        known = {("processing", self.attempt), ("pending", self.attempt - 1)}
        return self.status == "processing" and (before.status, before.attempt) in known


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

    def __init__(self, *, database_url: str, cap: int, lease_s: float = LEASE_S) -> None:
        super().__init__(name="watch", daemon=True)
        self.eyes, self.cap, self.lease_s = Eyes(database_url), cap, lease_s
        self.most = self.looks = 0
        self.breaches: list[Breach] = []
        self.status: dict[str, int] = {}
        self.leaving = threading.Event()
        self._seen: dict[str, Sight] = {}
        self._returned: set[str] = set()

    def run(self) -> None:
        began = time.monotonic()
        while not self.leaving.wait(EVERY_S):
            rows = self.eyes.ask(_IN_FLIGHT)
            if rows is None:
                continue
            self.looks += 1
            self.note({row[0]: Sight(*row[2:]) for row in rows})
            in_flight = Counter(row[1] for row in rows)
            dispatched = Counter(row[1] for row in rows if row[0] not in self._returned)
            self.most = max([self.most, *in_flight.values()])
            at_s = time.monotonic() - began
            self.breaches += [Breach(at_s, org_id, count) for org_id, count in dispatched.items() if count > self.cap]
            if self.looks % STATUS_EVERY == 1:
                self.status = dict(self.eyes.ask(_STATUS) or self.status)
        self.eyes.close()

    def note(self, now: dict[str, Sight]) -> None:
        """Who came back: its lease was given or renewed after what it was in flight by had run out."""
        for row_id, sight in now.items():
            before = self._seen.get(row_id)
            if before is None or sight.leased_until is None or not sight.follows(before):
                continue
            if sight.leased_until - self.lease_s > before.until:
                self._returned.add(row_id)
        self._returned &= now.keys()
        self._seen |= now

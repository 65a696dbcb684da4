"""Looks at the queue ten times a second: how far it is, and whether an organisation has more in flight than its cap."""

import threading
import time
from dataclasses import dataclass

from tests.faults.eyes import Eyes

EVERY_S = 0.1
_IN_FLIGHT = """
SELECT org_id::text, count(*), count(*) FILTER (WHERE status = 'processing' AND lease_expires_at > now())
FROM recording_upload_queue
WHERE status = 'processing' AND (lease_expires_at > now() OR dispatched_until > now())
   OR status = 'pending' AND dispatched_until > now()
GROUP BY org_id
"""
_STATUS = "SELECT status, count(*) FROM recording_upload_queue GROUP BY status"
STATUS_EVERY = 10


@dataclass(frozen=True, slots=True)
class Breach:
    """An organisation with more in flight than it may have, by the dispatcher's own count."""

    at_s: float
    org_id: str
    in_flight: int
    held: int


class Watch(threading.Thread):
    def __init__(self, *, database_url: str, cap: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.eyes, self.cap = Eyes(database_url), cap
        self.most = 0
        self.looks = 0
        self.breaches: list[Breach] = []
        self.status: dict[str, int] = {}
        self.leaving = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.leaving.wait(EVERY_S):
            rows = self.eyes.ask(_IN_FLIGHT)
            if rows is None:
                continue
            self.looks += 1
            self.most = max([self.most, *(row[1] for row in rows)])
            at_s = time.monotonic() - began
            self.breaches += [Breach(at_s, *row) for row in rows if row[1] > self.cap]
            if self.looks % STATUS_EVERY == 1:
                self.status = dict(self.eyes.ask(_STATUS) or self.status)
        self.eyes.close()

"""The call handler of the demo: tells the database that a call has ended. Its own login, one transaction a call."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from workers.demo.provider import Provider
from workers.demo.script import Call, Script
from workers.enqueue import enqueue


@dataclass(frozen=True, slots=True)
class Delivery:
    """One answered enqueue: what the database said to the call handler, and so must keep."""

    call: Call
    upload_id: UUID
    created: bool


def path_of(call: Call) -> str:
    """Where the provider keeps the recording."""
    return f"/recordings/{call.recording_id}.wav"


@dataclass(slots=True)
class CallHandler:
    """``connection`` logs in as ``call_handler`` and commits by itself; ``org_ids`` are in the script's order."""

    connection: psycopg.Connection[Any]
    provider: Provider
    org_ids: Sequence[UUID]
    script: Script
    deliveries: list[Delivery] = field(default_factory=list)
    _due: deque[tuple[float, Call]] = field(init=False)
    _urls: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first = [(call.at_s, call) for call in self.script.calls]
        again = [(call.again_at_s, call) for call in self.script.calls if call.again_at_s is not None]
        self._due = deque(sorted(first + again, key=lambda due: due[0]))

    def deliver_due(self, now_s: float) -> list[Delivery]:
        """Enqueue every call that has ended by ``now_s``, seconds from the start."""
        before = len(self.deliveries)
        while self._due and self._due[0][0] <= now_s:
            self.deliveries.append(self._deliver(self._due.popleft()[1]))
        return self.deliveries[before:]

    @property
    def is_done(self) -> bool:
        return not self._due

    @property
    def enqueued(self) -> int:
        return sum(delivery.created for delivery in self.deliveries)

    def _deliver(self, call: Call) -> Delivery:
        enqueued = enqueue(
            self.connection,
            org_id=self.org_ids[call.organisation],
            provider=call.kind.provider,
            provider_call_id=f"CA{call.recording_id[2:]}",
            recording_id=call.recording_id,
            source_url=self._url(call),
        )
        return Delivery(call, enqueued.upload_id, enqueued.created)

    def _url(self, call: Call) -> str:
        """The provider has the recording as soon as the call has ended, and remembers how often it was asked for it."""
        if call.recording_id not in self._urls:
            behaviours = call.kind.plays(call.recording.size)
            self._urls[call.recording_id] = self.provider.add(path_of(call), call.recording, *behaviours)
        return self._urls[call.recording_id]

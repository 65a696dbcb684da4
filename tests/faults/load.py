"""The call handler under chaos: whatever the database does, it says every call until it has been heard."""

import threading
import time
from collections import deque
from typing import Any
from uuid import UUID

import psycopg

from tests.faults.plan import Plan, Planned
from workers.demo.handler import Delivery
from workers.demo.provider import Provider
from workers.enqueue import Enqueued, enqueue

PAUSE_S = 0.1


class Load(threading.Thread):
    """``deliveries`` are the answered enqueues: from then on, the recording is the system's."""

    def __init__(self, plan: Plan, *, database_url: str, provider: Provider, org_ids: list[UUID]) -> None:
        super().__init__(name="load", daemon=True)
        self.database_url, self.provider, self.org_ids = database_url, provider, org_ids
        self.deliveries: list[Delivery] = []
        self.fault: BaseException | None = None
        self.is_done = False
        self.leaving = threading.Event()
        first = [(planned.call.at_s, planned) for planned in plan.calls]
        again = [(planned.call.again_at_s, planned) for planned in plan.calls if planned.call.again_at_s is not None]
        self._due = deque(sorted((*first, *again), key=lambda due: due[0]))
        self._urls: dict[str, str] = {}
        self._connection: psycopg.Connection[Any] | None = None

    def run(self) -> None:
        began = time.monotonic()
        try:
            while self._due and not self.leaving.is_set():
                at_s, planned = self._due.popleft()
                self.leaving.wait(max(0.0, at_s - (time.monotonic() - began)))
                enqueued = self._say(planned)
                self.deliveries.append(Delivery(planned.call, enqueued.upload_id, enqueued.created))
            self.is_done = True
        except BaseException as fault:  # noqa: BLE001 - told to the run, which ends with it
            self.fault = fault
        finally:
            if self._connection is not None:
                self._connection.close()

    def _say(self, planned: Planned) -> Enqueued:
        while True:
            try:
                return self._enqueue(planned)
            except psycopg.OperationalError:
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                time.sleep(PAUSE_S)

    def _enqueue(self, planned: Planned) -> Enqueued:
        if self._connection is None:
            self._connection = psycopg.connect(self.database_url, autocommit=True, connect_timeout=3)
        return enqueue(
            self._connection,
            org_id=self.org_ids[planned.call.organisation],
            provider=planned.call.kind.provider,
            provider_call_id=f"CA{planned.call.recording_id[2:]}",
            recording_id=planned.call.recording_id,
            source_url=self._url(planned),
            priority=planned.priority,
        )

    def _url(self, planned: Planned) -> str:
        call = planned.call
        if call.recording_id not in self._urls:
            behaviours = call.kind.plays(call.recording.size)
            self._urls[call.recording_id] = self.provider.add(
                f"/recordings/{call.recording_id}.wav", call.recording, *behaviours
            )
        return self._urls[call.recording_id]

"""Redis dies and comes back: workers go on with what they hold, spend no attempt, and hear the next doorbell."""

import signal
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.faults.eyes import Eyes
from tests.faults.stage import Stage
from tests.waiting import until
from workers.demo import behaviours
from workers.demo.recordings import Recording
from workers.enqueue import enqueue

SIZE = 40_000
TAKES_S = 4.0


def enqueue_one(stage: Stage, *manner: behaviours.Behaviour) -> UUID:
    url = stage.provider.add(f"/{uuid4().hex}.wav", Recording(seed=1, size=SIZE), *manner)
    with psycopg.connect(stage.stack.environment("call_handler")["DATABASE_URL"]) as connection:
        call = uuid4().hex
        return enqueue(
            connection, org_id=stage.org_ids[0], provider="https", provider_call_id=call, source_url=url
        ).upload_id


@pytest.mark.stack
def test_a_worker_survives_its_broker_and_finishes_what_it_holds(small_stage: Stage) -> None:
    eyes = Eyes(small_stage.admin_url)
    worker, valkey = small_stage.processes("worker")["worker1"], small_stage.stack.servers.processes["valkey"]

    def row(upload_id: UUID) -> Sequence[Any]:
        small_stage.stack.tend()
        found = eyes.ask("SELECT status, attempt, failures FROM recording_upload_queue WHERE id = %s", upload_id)
        return found[0] if found else ()

    held = enqueue_one(small_stage, behaviours.slow(SIZE / TAKES_S))
    until(lambda: row(held)[0] == "processing")
    valkey.signal(signal.SIGKILL)
    assert valkey.wait(within_s=5.0)

    until(lambda: row(held)[0] == "completed")
    assert row(held) == ("completed", 1, 0)
    afterwards = enqueue_one(small_stage)
    until(lambda: row(afterwards)[0] == "completed")
    assert small_stage.processes("worker")["worker1"] is worker, "the same process all the time"
    # What it had in hand it neither puts back into nothing nor writes to a file: the row's mark is the truth.
    assert "EMERGENCY" not in worker.tail(lines=1000)
    assert "UNABLE TO RESTORE" not in worker.tail(lines=1000)
    eyes.close()

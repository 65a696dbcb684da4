"""The broker forgets everything (law 1): nothing is lost but the time until the doorbells expire."""

import os
import time
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from tests.faults.eyes import Eyes
from tests.faults.stage import DOORBELL_EXPIRES_S, Stage
from tests.waiting import until
from workers.demo.recordings import Recording
from workers.enqueue import enqueue

#: 2,000 in the long run: see docs/reliability.md.
UPLOADS = int(os.environ.get("FLUSHALL_UPLOADS", "400"))
SIZE = 6_000
#: For the machine to be busy with something else.
MARGIN_S = 10.0
_COMPLETED = "SELECT count(*) FROM recording_upload_queue WHERE status = 'completed'"


def enqueue_all(stage: Stage) -> None:
    with psycopg.connect(stage.stack.environment("call_handler")["DATABASE_URL"]) as connection:
        for number in range(UPLOADS):
            enqueue(
                connection,
                org_id=stage.org_ids[number % len(stage.org_ids)],
                provider="https",
                provider_call_id=uuid4().hex,
                source_url=stage.provider.add(f"/{number}.wav", Recording(seed=number, size=SIZE)),
            )


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_flushall_in_the_middle_costs_no_upload_and_no_attempt(small_stage: Stage) -> None:
    eyes = Eyes(small_stage.admin_url)

    def completed() -> int:
        assert small_stage.stack.tend() == [], "nobody helped, and nothing had to be started again"
        rows = eyes.ask(_COMPLETED)
        assert rows is not None
        return int(rows[0][0])

    began = time.monotonic()
    enqueue_all(small_stage)
    until(lambda: completed() > UPLOADS // 3, timeout_s=120.0)
    with Redis.from_url(small_stage.stack.servers.redis_url) as broker:
        until(lambda: broker.llen("rec:upload") > 0)
        broker.flushall()
    flushed, done = time.monotonic(), completed()
    assert done < UPLOADS, "in the middle"

    usual_s = (flushed - began) / done * (UPLOADS - done)
    until(lambda: completed() == UPLOADS, timeout_s=DOORBELL_EXPIRES_S + 3 * usual_s + MARGIN_S)
    assert eyes.ask("SELECT DISTINCT status, attempt, failures FROM recording_upload_queue") == [("completed", 1, 0)]
    eyes.close()

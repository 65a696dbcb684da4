"""Two dispatchers: one leads. It is killed, the other leads, and no organisation gets more than its cap."""

from uuid import uuid4

import psycopg
import pytest

from tests.faults.eyes import Eyes
from tests.faults.monkey import TAKEOVER_LIMIT_S, Monkey
from tests.faults.plan import Fault, Plan
from tests.faults.stage import Stage
from tests.faults.watch import Watch
from tests.waiting import until
from workers.demo import behaviours
from workers.demo.recordings import Recording
from workers.enqueue import enqueue

CAP = 20
UPLOADS = 150
SIZE = 20_000
_SETTLED = "SELECT count(*) FROM recording_upload_queue WHERE status = 'completed'"


def enqueue_slow(stage: Stage) -> None:
    """One organisation's, each a third of a second long: it is at its cap while the dispatchers change."""
    with psycopg.connect(stage.stack.environment("call_handler")["DATABASE_URL"]) as connection:
        for number in range(UPLOADS):
            url = stage.provider.add(f"/{number}.wav", Recording(seed=number, size=SIZE), behaviours.slow(SIZE * 3))
            enqueue(connection, org_id=stage.org_ids[0], provider="https", provider_call_id=uuid4().hex, source_url=url)


@pytest.mark.stack
def test_the_other_one_leads_within_five_seconds_and_the_cap_holds(small_stage: Stage) -> None:
    eyes = Eyes(small_stage.admin_url)
    watch = Watch(database_url=small_stage.admin_url, cap=CAP)
    monkey = Monkey(small_stage, Plan(0, 0.0, (), ()), lambda _: None)
    enqueue_slow(small_stage)
    watch.start()

    def settled() -> int:
        small_stage.stack.tend()
        rows = eyes.ask(_SETTLED)
        return int(rows[0][0]) if rows else 0

    for kill in (1, 2, 3):
        until(lambda: settled() and len(eyes.dispatchers()) == 2)
        monkey.make(Fault(0.0, "leader_kill", 0.0, 0.0), 0.0)
        assert len(monkey.takeovers) == kill, "another one stood by"

    until(lambda: settled() == UPLOADS, timeout_s=90.0)
    watch.leaving.set()
    watch.join()
    monkey.heal()
    eyes.close()
    assert max(monkey.takeovers) < TAKEOVER_LIMIT_S
    assert watch.breaches == []
    assert watch.most == CAP, "the cap was reached, or it proves nothing"

"""The store is away or refuses while recordings are due: storing pauses, says so, and goes on by itself.

The long form, 500 rows and 60 s, with numbers: python -m tests.faults.outage
"""

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.faults.outage import OUTAGES, Outage
from tests.faults.stage import Stage, stage
from tests.waiting import until
from workers.crew import read_crew

ROWS = 40


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("outage") / "state", workers=1, concurrency=4, organisations=0) as started:
        yield started


@pytest.mark.stack
@pytest.mark.parametrize("name", ["slow_down", "silent", "access_denied"])
def test_an_outage_costs_no_recording_a_failure_and_all_complete_by_themselves(here: Stage, name: str) -> None:
    code = OUTAGES[name][1]
    after = Outage(here, name, rows=ROWS, for_s=4).carry_out(settle_within_s=60)
    assert (after.completed, after.objects, after.failures, after.open_failures) == (ROWS, ROWS, 0, 0)
    assert after.metrics.keys() == {"completed", f"snoozed {code}"}
    assert sum(after.metrics.values()) == after.attempts
    assert after.tried_meanwhile < ROWS // 2, "a few find out; the rest wait"
    assert after.open_meanwhile > 0, "operators see it in the failures, with the next try"
    assert any(said.startswith(f"storing paused: {code} for ") for said in after.said), "and in the status"


def is_well(here: Stage) -> bool:
    with psycopg.connect(here.stack.environment("ops")["DATABASE_URL"]) as ops:
        return [worker.state for worker in read_crew(ops)] == ["well"]


def test_the_log_says_when_storing_paused_and_when_it_resumed(here: Stage) -> None:
    until(lambda: is_well(here))
    after = Outage(here, "no_bucket", rows=5, for_s=0).carry_out(settle_within_s=60)
    assert after.completed == 5
    log = (here.state.directory / "logs" / "worker1.log").read_text().splitlines()
    events = [json.loads(line) for line in log if line.startswith("{") and '"store_' in line]
    paused, resumed = [event for event in events if event["event"] in {"store_paused", "store_resumed"}][-2:]
    assert (paused["event"], paused["code"]) == ("store_paused", "store_denied")
    assert (resumed["event"], resumed["code"]) == ("store_resumed", "store_denied")
    assert resumed["paused_s"] > 0
    until(lambda: is_well(here))

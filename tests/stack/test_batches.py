"""Several uploads in one doorbell, under a running system."""

import signal
import time
from collections.abc import Iterator
from os import kill
from typing import Any
from uuid import UUID

import pytest

from tests.stack.conftest import RunningStack
from tests.stack.wiretap import Wiretap, doorbell, wiretap
from tests.waiting import until
from workers.demo.behaviours import slow
from workers.grants import GrantKey, mint

pytestmark = pytest.mark.stack


@pytest.fixture
def tap(stack: RunningStack) -> Iterator[Wiretap]:
    with wiretap(stack.roles["admin"]["REDIS_URL"]) as tapped:
        yield tapped


def rung_together(stack: RunningStack, tap: Wiretap, urls: list[str]) -> tuple[UUID, list[UUID], dict[str, Any]]:
    """One doorbell for all of them, as the dispatcher would ring it, which itself leaves the organisation alone until
    it is active again."""
    org = stack.organisation()
    stack.admin.execute("UPDATE organizations SET status = 'suspended' WHERE id = %s", (org,))
    uploads = [stack.enqueue(org, url) for url in urls]
    stack.admin.execute(
        "UPDATE recording_upload_queue SET dispatched_until = now() + interval '1 minute' WHERE org_id = %s", (org,)
    )
    first, *also = uploads
    key = GrantKey.parse(stack.roles["dispatcher"]["RECORDINGS_GRANT_KEY"])
    grant = mint(key, org_id=org, subject=first, also=also, now_s=time.time(), lifetime_s=60)
    message = doorbell(org, first, grant, *also)
    tap.push(message)
    return org, uploads, message


def test_uploads_of_one_doorbell_are_stored_in_turn_by_one_task(stack: RunningStack, tap: Wiretap) -> None:
    org, uploads, message = rung_together(stack, tap, [stack.recording(20_000)[0] for _ in range(6)])
    assert stack.all_settled(org) == {"completed": 6}
    rows = [stack.row(upload) for upload in uploads]
    assert [row["completed_at"] for row in rows] == sorted(row["completed_at"] for row in rows)
    assert (len({row["worker"] for row in rows}), {row["attempt"] for row in rows}) == (1, {1})
    tap.push(message)
    until(lambda: all(f'"upload_id": "{upload}", "event": "doorbell_stale"' in stack.logs() for upload in uploads))
    assert [stack.row(upload) for upload in uploads] == rows


def test_behind_a_slow_recording_the_others_are_given_back_and_overtake_it(stack: RunningStack, tap: Wiretap) -> None:
    urls = [stack.recording(600_000, slow(150_000))[0], *(stack.recording(20_000)[0] for _ in range(4))]
    org, (long, *others), message = rung_together(stack, tap, urls)
    marks = "SELECT count(*) FROM recording_upload_queue WHERE org_id = %s AND dispatched_until IS NULL"
    until(lambda: stack.row(long)["status"] == "processing")
    until(lambda: stack.admin.execute(marks, (org,)).fetchone() == (5,))
    assert {stack.row(upload)["status"] for upload in others} == {"pending"}
    stack.admin.execute("UPDATE organizations SET status = 'active' WHERE id = %s", (org,))
    for upload in others:
        row = stack.settled(upload)
        assert (row["status"], row["attempt"], row["failures"]) == ("completed", 1, 0)
    assert stack.row(long)["status"] == "processing"
    assert stack.settled(long)["attempt"] == 1
    # What the task shows to Flower: the ids that it was rung with, and those that it did not do.
    task_id = message["headers"]["id"]
    (said,) = until(lambda: [line for line in stack.logs().splitlines() if task_id in line and "succeeded" in line])
    assert all(str(upload) in said.partition("given_back")[2] for upload in others)


def test_a_worker_told_to_stop_in_the_middle_gives_the_rest_back_and_no_attempt_is_spent(
    stack: RunningStack, tap: Wiretap
) -> None:
    urls = [stack.recording(600_000, slow(150_000))[0], *(stack.recording(20_000)[0] for _ in range(4))]
    org, (held, *rest), _ = rung_together(stack, tap, urls)
    process = until(lambda: stack.row(held)["worker"]).partition("@")[0]
    stopped = stack.pid(process)
    kill(stopped, signal.SIGTERM)
    until(lambda: all(stack.row(upload)["dispatched_until"] is None for upload in rest))
    stack.admin.execute("UPDATE organizations SET status = 'active' WHERE id = %s", (org,))
    assert stack.all_settled(org) == {"completed": 5}
    assert {(row["attempt"], row["failures"]) for row in map(stack.row, rest)} == {(1, 0)}
    assert stack.row(held)["failures"] == 0
    until(lambda: stack.pid(process) != stopped)

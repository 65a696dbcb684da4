"""Operators against one another, against workers, and against attempts that are over."""

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.desk import COPIED, Desk
from tests.operating import audit, discard, given_up, retry, waiting
from tests.waiting import until
from workers.errors import LeaseLost, SourceForbidden
from workers.repair import Action, Run
from workers.retry import GiveUp


def waiting_for_a_lock(desk: Desk) -> int:
    return int(
        desk.database.one(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s", desk.database.name
        )
    )


@pytest.mark.parametrize(("act", "answer"), [(retry, "already_queued"), (discard, "discarded")])
def test_of_two_operators_at_once_the_second_sees_what_the_first_did(desk: Desk, act: Any, answer: str) -> None:
    upload_id = given_up(desk)
    # The one who loses the race began first: its now() is older than what it finds.
    with ThreadPoolExecutor() as others, desk.database.connect("recording_ops") as late, late.transaction():
        late.execute("SELECT now()")
        with desk.database.connect("recording_ops") as first, first.transaction():
            first.execute("SELECT public.retry_failed_upload(%s, 'first')", (upload_id,))
            name = act.__name__
            second: Future[Any] = others.submit(
                lambda: late.execute(f"SELECT public.{name}_failed_upload(%s, 'second')", (upload_id,)).fetchone()
            )
            until(lambda: waiting_for_a_lock(desk))
        assert second.result(timeout=20) == (answer,)
    expected = ["first"] if act is retry else ["first", "second"]
    assert [row[3] for row in audit(desk, upload_id)] == expected


def test_a_worker_that_comes_during_a_retry_claims_once_it_is_committed(desk: Desk) -> None:
    upload_id = given_up(desk)
    with ThreadPoolExecutor() as workers:
        with desk.database.connect("recording_ops") as operator, operator.transaction():
            operator.execute("SELECT public.retry_failed_upload(%s, 'why')", (upload_id,))
            # Nothing to claim yet, and nothing to wait for: it is still failed to everybody else.
            assert desk.worker().claim(desk.grant, upload_id) is None
        claims = [workers.submit(desk.worker(f"worker@{n}").claim, desk.grant, upload_id) for n in range(4)]
        won = [upload for one in claims if (upload := one.result(timeout=20))]
    assert [upload.attempt for upload in won] == [2]


def test_a_retry_that_comes_during_a_claim_finds_it_running(desk: Desk) -> None:
    upload_id = waiting(desk)
    desk.change(upload_id, "next_attempt_at = now() + interval '1 hour'")
    with ThreadPoolExecutor() as operators, desk.database.connect() as worker:
        with worker.transaction():
            worker.execute(
                "UPDATE recording_upload_queue SET status = 'processing', attempt = 2, worker = 'w', "
                "lease_expires_at = now() + interval '1 minute' WHERE id = %s",
                (upload_id,),
            )
            answers = [operators.submit(act, desk, upload_id) for act in (retry, discard)]
            until(lambda: waiting_for_a_lock(desk) == 2)
        assert [answer.result(timeout=20) for answer in answers] == ["already_running"] * 2
    assert audit(desk, upload_id) == []


def test_many_retries_of_many_operators_write_one_row_each(desk: Desk) -> None:
    uploads = [given_up(desk) for _ in range(10)]
    with ThreadPoolExecutor(8) as operators:
        answers = list(operators.map(lambda upload_id: retry(desk, upload_id), uploads * 8))
    assert sorted(set(answers)) == ["already_queued", "retried"]
    assert answers.count("retried") == len(uploads)
    assert all(len(audit(desk, upload_id)) == 1 for upload_id in uploads)


def test_a_zombie_cannot_settle_what_an_operator_has_brought_back(desk: Desk) -> None:
    """The fence only rises: the attempt that gave up is over, however late its repetition comes."""
    upload = desk.claimed()
    desk.worker().fail(desk.grant, upload, SourceForbidden(), GiveUp(), total_ms=1)
    assert retry(desk, upload.id) == "retried"
    before = desk.everything(upload.id)
    with pytest.raises(LeaseLost):
        desk.worker().complete(desk.grant, upload, COPIED, total_ms=1)
    with pytest.raises(LeaseLost):
        desk.worker().fail(desk.grant, upload, SourceForbidden(), GiveUp(), total_ms=1)
    assert desk.everything(upload.id) == before


def test_a_run_that_loses_a_deadlock_does_its_batch_again(desk: Desk) -> None:
    first, second = given_up(desk), given_up(desk)
    run = Run(Action.RETRY, "why", "somebody")
    lock = "SELECT id FROM recording_upload_queue WHERE id = %s FOR UPDATE"
    with ThreadPoolExecutor() as others, desk.database.connect("recording_ops") as operator:
        with desk.database.connect() as rival, rival.transaction():
            # The one whose patience ends first is the one that is rolled back.
            rival.execute("SET LOCAL deadlock_timeout = '1min'")
            rival.execute(lock, (second,))
            done = others.submit(lambda: list(run.over(operator, iter([first, second]))))
            until(lambda: waiting_for_a_lock(desk))
            rival.execute(lock, (first,))
        assert done.result(timeout=20) == [[(first, "retried"), (second, "retried")]]
    assert run.results == Counter(retried=2)
    assert [len(audit(desk, upload_id)) for upload_id in (first, second)] == [1, 1]

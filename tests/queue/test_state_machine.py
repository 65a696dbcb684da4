"""The queue under any order of events: several workers, some of them lost without knowing it, and an operator."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from schema.tenancy import run_as_task
from tests.database import Database
from tests.desk import COPIED
from workers.enqueue import enqueue
from workers.errors import AttemptError, LeaseLost, SourceGone, SourceNotReady, SourceTimeout
from workers.queue import Queue
from workers.retry import Decision, GiveUp, Reschedule, Snooze
from workers.states import TRANSITIONS, Status
from workers.uploads import Upload

_AT = datetime(2000, 1, 1, tzinfo=UTC)
_ENDINGS: list[tuple[AttemptError, Decision]] = [
    (SourceTimeout(), Reschedule(_AT)),
    (SourceNotReady(), Snooze(_AT)),
    (SourceGone(), GiveUp()),
]
_STATE = """
SELECT q.id, q.status, q.attempt, q.failures, q.lease_expires_at > now(), q.completed_at, q.object_key, q.sha256,
       (SELECT count(*) FROM recording_upload_metrics m WHERE m.upload_id = q.id),
       (SELECT count(*) FROM failed_recording_uploads f WHERE f.upload_id = q.id AND f.resolved_at IS NULL),
       (SELECT count(*) FROM failed_recording_uploads f
        WHERE f.upload_id = q.id AND f.resolved_at IS NULL AND f.given_up_at IS NOT NULL),
       (SELECT count(*) FROM failed_recording_uploads f WHERE f.upload_id = q.id AND f.resolution = 'discarded'),
       (SELECT count(*) FROM audit_log a WHERE a.subject_id = q.id),
       c.recording_status, coalesce(q.dispatched_until > now(), false), q.max_failures
FROM recording_upload_queue q JOIN call_logs c ON c.id = q.call_id
WHERE q.org_id = %s
"""
_MARK = """
UPDATE recording_upload_queue SET dispatched_until = now() + interval '1 hour'
WHERE id = %s AND (status = 'pending' OR status = 'processing' AND lease_expires_at <= now())
"""


class Seen:
    """What every example shares: connections, kept open, since an example has hundreds of statements."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.admin = database.connect()
        self.handler = database.connect("call_handler")
        self.operator = database.connect("recording_ops")
        self.engine: Engine = database.engine("recording_worker", poolclass=QueuePool, pool_size=1)

    def close(self) -> None:
        self.admin.close()
        self.handler.close()
        self.operator.close()
        self.engine.dispose()


class QueueMachine(RuleBasedStateMachine):
    """Attempts are kept after they lost their row: what a zombie does is a step like any other."""

    seen: Seen
    uploads = Bundle("uploads")
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        found = self.seen.admin.execute("INSERT INTO organizations (name) VALUES ('x') RETURNING id").fetchone()
        assert found
        self.org_id: UUID = found[0]
        self.grant = self.seen.database.grant(self.org_id)
        self.before: dict[UUID, Any] = {}

    def worker(self, number: int) -> Queue:
        return Queue(self.seen.engine, f"worker@{number}", timedelta(seconds=60))

    def state(self) -> dict[UUID, Any]:
        return {row[0]: row[1:] for row in self.seen.admin.execute(_STATE, (self.org_id,)).fetchall()}

    def settled(self, act: Any, upload: Upload) -> None:
        """Do it, and hold what came of it to the fence: an attempt that does not own the row changes nothing."""
        before = self.state()
        status, attempt = before[upload.id][:2]
        try:
            act()
        except LeaseLost:
            assert (status, attempt) != ("processing", upload.attempt)
        if (status, attempt) != ("processing", upload.attempt):
            assert self.state() == before

    @rule(target=uploads, number=st.integers(0, 2), most=st.integers(1, 3))
    def enqueue(self, number: int, most: int) -> UUID:
        made = enqueue(
            self.seen.handler,
            org_id=self.org_id,
            provider="https",
            provider_call_id=str(number),
            source_url="https://provider.example/r.wav",
        )
        if made.created:
            self.seen.admin.execute(
                "UPDATE recording_upload_queue SET max_failures = %s WHERE id = %s", (most, made.upload_id)
            )
        return made.upload_id

    @rule(target=attempts, upload_id=uploads, number=st.integers(1, 3), ring=st.sampled_from([True, True, True, False]))
    def claim(self, upload_id: UUID, number: int, ring: bool) -> Upload | None:
        """A doorbell, most often one that the dispatcher rang."""
        if ring:
            self.seen.admin.execute(_MARK, (upload_id,))
        status, attempt, failures, live, *_, rung, most = self.state()[upload_id]
        claim_id = uuid4()
        claimed = self.worker(number).claim(self.grant, upload_id, claim_id)
        lost = status == "processing" and not live
        can = rung and (status == "pending" or (lost and failures + 1 < most))
        assert (claimed is not None) == can
        if claimed:
            assert (claimed.attempt, claimed.failures) == (attempt + 1, failures + lost)
            before, again = self.state(), self.worker(number).claim(self.grant, upload_id, claim_id)
            assert again, "who did not hear the answer is told it once more"
            assert (again.attempt, self.state()) == (claimed.attempt, before)
        return claimed

    @rule(upload=attempts)
    def renew(self, upload: Upload | None) -> None:
        if upload:
            self.settled(lambda: self.worker(1).renew(self.grant, upload), upload)

    @rule(upload=attempts)
    def complete(self, upload: Upload | None) -> None:
        if upload:
            self.settled(lambda: self.worker(1).complete(self.grant, upload, COPIED, total_ms=1), upload)

    @rule(upload=attempts, ending=st.sampled_from(_ENDINGS))
    def fail(self, upload: Upload | None, ending: tuple[AttemptError, Decision]) -> None:
        if upload:
            error, decision = ending
            if isinstance(decision, Reschedule) and upload.failures + 1 >= upload.max_failures:
                decision = GiveUp()
            self.settled(lambda: self.worker(1).fail(self.grant, upload, error, decision, total_ms=1), upload)

    @rule(upload=attempts)
    def put_back(self, upload: Upload | None) -> None:
        if upload:
            self.settled(lambda: self.worker(1).put_back(self.grant, upload, total_ms=1), upload)

    def operate(self, statement: LiteralString, upload_id: UUID, results: dict[str, str]) -> None:
        """What an operator's action says fits how the row stood; it changes something, and is on record, or neither."""
        before = self.state()
        row = self.operator_says(statement, upload_id)
        assert row == results[before[upload_id][0]]
        acted = row in {"retried", "discarded"}
        after = self.state()
        assert (after == before) != acted
        assert after[upload_id][11] == before[upload_id][11] + acted

    def operator_says(self, statement: LiteralString, upload_id: UUID) -> str:
        found = self.seen.operator.execute(statement, (upload_id,)).fetchone()
        assert found
        return str(found[0])

    @rule(upload_id=uploads)
    def retry(self, upload_id: UUID) -> None:
        results = {"completed": "already_completed", "processing": "already_running"}
        results |= {"pending": "already_queued", "failed": "retried"}
        self.operate("SELECT retry_failed_upload(%s, 'why')", upload_id, results)

    @rule(upload_id=uploads)
    def discard(self, upload_id: UUID) -> None:
        is_open = self.state()[upload_id][8]
        results = {"completed": "already_completed", "processing": "already_running"}
        results |= {"pending": "discarded" if is_open else "not_failed"}
        results |= {"failed": "discarded" if is_open else "already_discarded"}
        self.operate("SELECT discard_failed_upload(%s, 'why')", upload_id, results)

    @rule()
    def the_leases_run_out(self) -> None:
        self.seen.admin.execute(
            "UPDATE recording_upload_queue SET lease_expires_at = now() - interval '1 second' "
            "WHERE org_id = %s AND status = 'processing'",
            (self.org_id,),
        )

    @rule(upload_id=uploads)
    def a_stranger_tries(self, upload_id: UUID) -> None:
        foreign = self.seen.database.grant(UUID(int=1))
        assert run_as_task(self.seen.engine, foreign, "SELECT FROM recording_upload_queue", {}) == []
        assert self.worker(9).claim(foreign, upload_id, uuid4()) is None

    @invariant()
    def the_rows_tell_one_story(self) -> None:
        now = self.state()
        for upload_id, row in now.items():
            status, attempt, failures, _, completed_at, _, sha256, metrics, opened, given_up, *rest = row
            discarded, _, call_status, rung, most = rest
            assert metrics == attempt - (status == "processing"), "one metric for each attempt that ended"
            assert opened <= 1
            assert not (opened and status == "completed"), "an open failure of a stored recording"
            assert given_up <= (status == "failed"), "who was given up is failed"
            assert status != "failed" or given_up or discarded, "a failed one waits for a person, or was let be"
            assert failures <= most
            assert not rung or status in {"pending", "processing"}, "what is settled is not dispatched"
            assert (status == "completed") == (completed_at is not None) == (sha256 is not None)
            assert call_status == {"completed": "completed", "failed": "failed"}.get(status, "pending")
            before = self.before.get(upload_id)
            if before is None:
                continue
            assert attempt >= before[1], "the fence only rises"
            if before[0] == "completed":
                assert row == before, "nothing moves a completed row"
            steps = attempt - before[1]
            moved = Status(status) in TRANSITIONS[Status(before[0])]
            assert status == before[0] or moved or (steps and status == "processing")
        self.before = now


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    kept = Seen(database)
    yield kept
    kept.close()


def test_in_whatever_order_things_happen_the_rows_tell_one_story(seen: Seen) -> None:
    class Machine(QueueMachine):
        pass

    Machine.seen = seen
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

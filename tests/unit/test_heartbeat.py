"""The lease, renewed as bytes flow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import psycopg
import pytest

from workers.drain import Drain
from workers.errors import Interrupted, LeaseLost
from workers.heartbeat import Heartbeat
from workers.queue import Queue
from workers.uploads import Upload

Beat = Heartbeat[Upload]
UPLOAD = Upload(
    id=UUID(int=1),
    org_id=UUID(int=2),
    call_id=UUID(int=3),
    provider="https",
    provider_call_id="c",
    recording_id="r",
    source_url="https://provider.example/r.wav",
    attempt=4,
    failures=0,
    max_failures=10,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    claimed_at=datetime(2026, 1, 1, tzinfo=UTC),
)


@dataclass
class Renewals:
    """A queue that only renews, and a clock."""

    lease: timedelta = timedelta(seconds=60)
    now: float = 1000.0
    answers: list[BaseException | None] = field(default_factory=list)
    renewed_at: list[float] = field(default_factory=list)

    def renew(self, grant: str, upload: Upload) -> None:
        assert (grant, upload) == ("grant", UPLOAD)
        self.renewed_at.append(self.now)
        if self.answers and (answer := self.answers.pop(0)):
            raise answer

    def clock(self) -> float:
        return self.now


@pytest.fixture
def queue() -> Renewals:
    return Renewals()


@pytest.fixture
def drain(queue: Renewals) -> Drain:
    return Drain(10, queue.clock)


@pytest.fixture
def heartbeat(queue: Renewals, drain: Drain) -> Beat:
    return Heartbeat(cast("Queue", queue), "grant", UPLOAD, drain, queue.clock)


def beat(heartbeat: Beat, queue: Renewals, *, at: float) -> None:
    queue.now = 1000 + at
    heartbeat()


def test_it_renews_at_a_third_of_the_lease_and_not_at_every_buffer(heartbeat: Beat, queue: Renewals) -> None:
    for second in range(61):
        beat(heartbeat, queue, at=second)
    assert queue.renewed_at == [1020, 1040, 1060]


def test_a_row_that_is_anothers_ends_the_transfer(heartbeat: Beat, queue: Renewals) -> None:
    queue.answers = [LeaseLost()]
    with pytest.raises(LeaseLost):
        beat(heartbeat, queue, at=20)


def test_with_the_database_away_it_goes_on_for_as_long_as_the_lease(heartbeat: Beat, queue: Renewals) -> None:
    queue.answers = [psycopg.OperationalError()] * 20
    for second in range(60):
        beat(heartbeat, queue, at=second)
    with pytest.raises(LeaseLost):
        beat(heartbeat, queue, at=60)


def test_with_the_database_away_it_does_not_try_at_every_buffer(heartbeat: Beat, queue: Renewals) -> None:
    queue.answers = [psycopg.OperationalError()] * 20
    for second in range(40):
        beat(heartbeat, queue, at=second)
    assert queue.renewed_at == [1020, 1025, 1030, 1035]


def test_a_database_that_comes_back_in_time_renews_it(heartbeat: Beat, queue: Renewals) -> None:
    queue.answers = [psycopg.OperationalError(), None]
    for second in (20, 25, 59, 70):
        beat(heartbeat, queue, at=second)
    assert queue.renewed_at == [1020, 1025, 1059]


def test_a_fault_is_not_taken_for_a_database_that_is_away(heartbeat: Beat, queue: Renewals) -> None:
    queue.answers = [psycopg.errors.InsufficientPrivilege()]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        beat(heartbeat, queue, at=20)


def test_a_drain_interrupts_it_when_its_patience_is_over(heartbeat: Beat, queue: Renewals, drain: Drain) -> None:
    drain.begin()
    beat(heartbeat, queue, at=9)
    with pytest.raises(Interrupted):
        beat(heartbeat, queue, at=10)
    assert queue.renewed_at == []

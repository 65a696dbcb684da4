"""Attempts that come back from the dead, COMMITs whose answer is lost: the row and the object stay what they are."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.faults.outage import keys_of
from tests.faults.stage import Stage, signal_process, stage
from tests.waiting import until
from workers.demo.behaviours import slow, status
from workers.demo.recordings import Recording
from workers.enqueue import enqueue

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("zombies") / "state", workers=2, concurrency=2, organisations=1) as started:
        yield started


class Case:
    """One upload, looked at as administrator, past every proxy."""

    def __init__(self, here: Stage, admin: psycopg.Connection[Any], source: Recording, *behaviours: Any) -> None:
        self.here, self.admin, self.source = here, admin, source
        row = admin.execute("INSERT INTO organizations (name) VALUES ('Zombie') RETURNING id").fetchone()
        assert row is not None
        self.org: UUID = row[0]
        self.url = here.provider.add(f"/{uuid4().hex}.wav", source, *behaviours)

    def enqueue(self) -> None:
        with psycopg.connect(self.here.stack.environment("call_handler")["DATABASE_URL"]) as connection:
            made = enqueue(
                connection, org_id=self.org, provider="https", provider_call_id=uuid4().hex, source_url=self.url
            )
        self.upload = made.upload_id

    def row(self) -> dict[str, Any]:
        with self.admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            row = cursor.execute("SELECT * FROM recording_upload_queue WHERE id = %s", (self.upload,)).fetchone()
        assert row is not None
        return row

    def completed(self) -> dict[str, Any]:
        until(lambda: self.row()["status"] == "completed")
        return self.row()

    def metrics(self) -> list[tuple[Any, ...]]:
        query = "SELECT attempt, outcome, error_code FROM recording_upload_metrics WHERE upload_id = %s ORDER BY 1"
        return self.admin.execute(query, (self.upload,)).fetchall()

    def failures(self) -> list[tuple[Any, ...]]:
        query = "SELECT error_code, resolution FROM failed_recording_uploads WHERE upload_id = %s"
        return self.admin.execute(query, (self.upload,)).fetchall()

    def objects(self) -> list[str]:
        return keys_of(self.here, f"{self.org}/")

    def holder(self) -> str:
        """The name of the process that holds the row."""
        return str(until(lambda: self.row()["worker"])).partition("@")[0]

    def says(self, process: str, event: str) -> bool:
        log = (self.here.state.directory / "logs" / f"{process}.log").read_text()
        return any(f'"event": "{event}"' in line and str(self.upload) in line for line in log.splitlines())


@contextmanager
def case(here: Stage, size: int, *behaviours: Any) -> Iterator[Case]:
    with psycopg.connect(here.admin_url, autocommit=True) as admin:
        yield Case(here, admin, Recording(seed=uuid4().int >> 96, size=size), *behaviours)


@contextmanager
def suspended(here: Stage, process: str) -> Iterator[None]:
    pid = here.processes(process)[process].pid
    signal_process(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_process(pid, signal.SIGCONT)


def proven(here: Stage, upload: Case, zombie: str) -> None:
    """The other attempt completed it, and the zombie, awake again, says that it lost and changes nothing."""
    before = upload.completed()
    assert (before["attempt"], before["failures"]) == (2, 1)
    assert before["worker"] != f"{zombie}@recordings"
    objects = upload.objects()
    assert objects == [before["object_key"]]
    assert before["sha256"] == sha256(upload.source.bytes()).hexdigest()
    signal_process(here.processes(zombie)[zombie].pid, signal.SIGCONT)
    until(lambda: upload.says(zombie, "lease_lost"))
    assert upload.row() == before
    assert upload.objects() == objects
    assert upload.metrics() == [(1, "rescheduled", "worker_lost"), (2, "completed", None)]
    assert upload.failures() == [("worker_lost", "recovered")]


def test_a_worker_that_sleeps_past_its_lease_while_it_reads_stores_nothing(here: Stage) -> None:
    with case(here, 600_000, slow(150_000)) as upload:
        upload.enqueue()
        zombie = upload.holder()
        with suspended(here, zombie):
            proven(here, upload, zombie)


def test_a_worker_that_sleeps_while_the_store_takes_its_object_leaves_the_row_to_its_successor(here: Stage) -> None:
    """The object is the zombie's, equal and one; the row is the successor's."""
    with case(here, 30_000) as upload:
        here.proxy.stall()
        upload.enqueue()
        zombie = upload.holder()
        until(lambda: here.proxy.holding > 0)
        with suspended(here, zombie):
            here.proxy.heal()
            until(upload.objects)
            assert upload.row()["status"] == "processing"
            proven(here, upload, zombie)


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_a_commit_of_a_completion_whose_answer_is_lost_completes_once(here: Stage, *, heard: bool) -> None:
    """The object's key is in what is said; it is said again on another connection, and found done, or done then."""
    with case(here, 30_000, status(503, times=1)) as upload:
        said = f"{upload.org}/".encode()
        if heard:
            here.database.lose_answer(said, b"COMMIT")
        else:
            here.database.lose_request(said)
        upload.enqueue()
        row = upload.completed()
        assert here.database.has_lost
        assert (row["attempt"], row["failures"]) == (2, 1)
        assert row["sha256"] == sha256(upload.source.bytes()).hexdigest()
        worker = row["worker"].partition("@")[0]
        until(lambda: upload.says(worker, "upload_completed"))
        assert upload.metrics() == [(1, "rescheduled", "source_error"), (2, "completed", None)]
        assert upload.failures() == [("source_error", "recovered")]
        assert upload.objects() == [row["object_key"]]
        call = upload.admin.execute(
            "SELECT recording_status, recording_sha256 FROM call_logs WHERE id = %s", (row["call_id"],)
        )
        assert call.fetchone() == ("completed", row["sha256"])

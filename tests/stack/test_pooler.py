"""A worker process behind PgBouncer, beside others that are not: it does the same work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.pgbouncer import PgBouncer, documented
from tests.stack.conftest import TUNING, RunningStack
from tests.waiting import until

ROOT = Path(__file__).parents[2]
NAME = "pooled@recordings"


@contextmanager
def worker(stack: RunningStack, pooler: PgBouncer, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = TUNING | stack.roles["worker"]
    settings["DATABASE_URL"] = settings["DATABASE_URL"].replace(f":{pooler.upstream}/", f":{pooler.port}/")
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "threads", "-c", "4", "-n", NAME]
    with log.open("wb") as output:
        started = subprocess.Popen(
            [*argv, "--without-gossip", "--without-mingle"],
            env=os.environ | settings,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
        try:
            yield started
        finally:
            started.terminate()
            started.wait(timeout=60)


def test_a_worker_behind_a_pooler_claims_stores_settles_and_reports_like_any_other(
    stack: RunningStack, tmp_path: Path
) -> None:
    url = urlsplit(stack.roles["worker"]["DATABASE_URL"])
    assert url.port
    assert url.username
    assert url.password
    org = stack.organisation()
    pooler = PgBouncer(
        tmp_path / "files", url.port, {url.username: url.password}, documented() | {"default_pool_size": "2"}
    )
    by_it = "SELECT count(*) FROM recording_upload_metrics WHERE org_id = %s AND worker = %s AND outcome = 'completed'"
    log = tmp_path / "worker.log"
    with pooler, worker(stack, pooler, log) as process:
        until(lambda: is_known(stack), timeout_s=60.0)
        for _ in range(20):
            for _ in range(6):
                stack.enqueue(org, stack.recording(20_000)[0])
            assert stack.all_settled(org).keys() == {"completed"}
            (done,) = stack.admin.execute(by_it, (org, NAME)).fetchone() or (0,)
            if done >= 12:
                break
        assert done >= 12, "more than psycopg runs unprepared, on more threads than there are server connections"
        process.terminate()
        process.wait(timeout=60)
    assert process.returncode == 0
    assert "task_fault" not in log.read_text()
    assert not is_known(stack), "it said goodbye"


def is_known(stack: RunningStack) -> bool:
    return stack.admin.execute("SELECT FROM app.workers WHERE name = %s", (NAME,)).fetchone() is not None

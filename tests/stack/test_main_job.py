"""The main job on real servers: a row in, an object out, by the processes that `recordings up` starts."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from os import kill

import psycopg
import pytest
import redis

from tests.stack.conftest import RunningStack
from tests.waiting import until
from workers.demo.behaviours import cut, html, not_ready, oversize, redirect, slow, status


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_plain_psql_enqueues_and_the_object_is_in_the_bucket(stack: RunningStack) -> None:
    """With the call handler's login and no client of ours; on an idle system it takes a moment."""
    org = stack.organisation()
    url, source = stack.recording(150_000)
    psql = shutil.which("psql")
    call = f"SELECT upload_id FROM enqueue_recording('{org}', 'vapi', 'call-1', '{url}')"
    if psql:
        command = [psql, stack.roles["call_handler"]["DATABASE_URL"], "-XAtc", call]
        upload_id = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    else:
        with psycopg.connect(stack.roles["call_handler"]["DATABASE_URL"]) as connection:
            upload_id = str(connection.execute(call).fetchone()[0])  # type: ignore[index]
    row = stack.settled(upload_id)  # type: ignore[arg-type]
    assert row["status"] == "completed"
    stored = b"".join(stack.store().get(row["object_key"]))
    assert sha256(stored) == row["sha256"] == sha256(source.bytes())
    assert row["object_key"].startswith(f"{org}/")
    call_log = stack.admin.execute(
        "SELECT recording_status, recording_sha256, recording_key FROM call_logs WHERE id = %s", (row["call_id"],)
    ).fetchone()
    assert call_log == ("completed", row["sha256"], row["object_key"])


def test_three_hundred_recordings_enqueued_at_once_all_arrive_whole(stack: RunningStack) -> None:
    org = stack.organisation()
    sources = {}
    for size in (5_000, 20_000, 60_000) * 100:
        url, source = stack.recording(size)
        sources[stack.enqueue(org, url)] = source
    assert stack.all_settled(org) == {"completed": 300}
    rows = {
        row[0]: row[1:]
        for row in stack.admin.execute(
            "SELECT id, sha256, object_key FROM recording_upload_queue WHERE org_id = %s", (org,)
        )
    }
    assert {upload: rows[upload][0] for upload in sources} == {
        upload: sha256(source.bytes()) for upload, source in sources.items()
    }
    assert sorted(stack.store().list(f"{org}/")) == sorted(row[1] for row in rows.values())


@pytest.mark.parametrize(
    ("behaviour", "provider", "ending", "code"),
    [
        ((not_ready(times=2),), "twilio", "completed", None),
        ((status(503, times=2),), "https", "completed", None),
        ((cut(20_000, times=2),), "https", "completed", None),
        ((html(),), "https", "failed", "not_audio"),
        ((status(410),), "https", "failed", "source_gone"),
        ((status(403),), "https", "failed", "source_forbidden"),
        ((oversize(60_000_000),), "https", "failed", "too_large"),
        ((redirect("http://169.254.169.254/latest/meta-data/"),), "https", "failed", "source_blocked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_provider_that_misbehaves_gets_the_ending_that_fits(
    stack: RunningStack, behaviour: tuple[object, ...], provider: str, ending: str, code: str | None
) -> None:
    org = stack.organisation()
    url, _ = stack.recording(40_000, *behaviour)
    upload = stack.enqueue(org, url, provider)
    row = stack.settled(upload)
    assert (row["status"], row["error_code"]) == (ending, code)
    failures = stack.admin.execute(
        "SELECT error_code, resolution, given_up_at IS NOT NULL FROM failed_recording_uploads WHERE upload_id = %s",
        (upload,),
    ).fetchall()
    if code:
        assert failures == [(code, None, True)]
        assert list(stack.store().list(f"{org}/")) == []
    else:
        assert all(resolution == "recovered" for _, resolution, _ in failures)
    attempts = stack.admin.execute("SELECT count(*) FROM recording_upload_metrics WHERE upload_id = %s", (upload,))
    assert attempts.fetchone() == (row["attempt"],)


def test_not_ready_yet_costs_no_failure_and_opens_none(stack: RunningStack) -> None:
    org = stack.organisation()
    url, _ = stack.recording(10_000, not_ready(times=3))
    row = stack.settled(stack.enqueue(org, url, "twilio"))
    assert (row["status"], row["failures"], row["attempt"]) == ("completed", 0, 4)
    assert stack.admin.execute(
        "SELECT count(*) FROM failed_recording_uploads WHERE org_id = %s", (org,)
    ).fetchone() == (0,)


def test_flushall_in_the_middle_loses_nothing(stack: RunningStack) -> None:
    """Law 1: a doorbell that is gone is rung again when its mark on the row runs out."""
    org = stack.organisation()
    broker = redis.Redis.from_url(stack.roles["admin"]["REDIS_URL"])
    try:
        for _ in range(60):
            url, _ = stack.recording(20_000)
            stack.enqueue(org, url)
        broker.flushall()
        assert stack.all_settled(org) == {"completed": 60}
    finally:
        broker.close()


def test_a_worker_killed_midway_is_replaced_and_its_upload_finished_by_another_attempt(stack: RunningStack) -> None:
    org = stack.organisation()
    url, source = stack.recording(400_000, slow(200_000))
    upload = stack.enqueue(org, url)
    holder = until(lambda: stack.row(upload)["worker"])
    process = holder.partition("@")[0]
    killed = stack.pid(process)
    kill(killed, signal.SIGKILL)
    row = stack.settled(upload)
    assert (row["status"], row["sha256"]) == ("completed", sha256(source.bytes()))
    assert row["attempt"] == 2
    assert stack.admin.execute(
        "SELECT attempt, outcome, error_code FROM recording_upload_metrics WHERE upload_id = %s ORDER BY attempt",
        (upload,),
    ).fetchall() == [(1, "rescheduled", "worker_lost"), (2, "completed", None)]
    assert stack.admin.execute(
        "SELECT error_code, resolution FROM failed_recording_uploads WHERE upload_id = %s", (upload,)
    ).fetchall() == [("worker_lost", "recovered")]
    until(lambda: stack.pid(process) != killed)


def test_a_worker_told_to_stop_puts_back_what_it_holds_and_no_attempt_is_spent(stack: RunningStack) -> None:
    """Law 10, with a transfer that outlasts the second that draining may take here."""
    org = stack.organisation()
    url, source = stack.recording(600_000, slow(150_000))
    upload = stack.enqueue(org, url)
    process = until(lambda: stack.row(upload)["worker"]).partition("@")[0]
    stopped = stack.pid(process)
    kill(stopped, signal.SIGTERM)
    row = stack.settled(upload)
    assert (row["status"], row["failures"], row["sha256"]) == ("completed", 0, sha256(source.bytes()))
    outcomes = stack.admin.execute(
        "SELECT outcome FROM recording_upload_metrics WHERE upload_id = %s ORDER BY attempt", (upload,)
    ).fetchall()
    assert outcomes == [("interrupted",), ("completed",)]
    until(lambda: stack.pid(process) != stopped)


def test_flower_asks_for_a_login_is_read_only_and_shows_ids_only(stack: RunningStack) -> None:
    org = stack.organisation()
    url, _ = stack.recording(10_000)
    upload = stack.settled(stack.enqueue(org, url))["id"]
    base, login = stack.roles["admin"]["FLOWER_URL"], stack.roles["admin"]["FLOWER_BASIC_AUTH"]

    def ask(path: str, *, method: str = "GET", authorised: bool = True) -> tuple[int, str]:
        request = urllib.request.Request(base + path, method=method)
        if authorised:
            request.add_header("Authorization", "Basic " + b64encode(login.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, ""

    assert ask("/", authorised=False)[0] == 401
    assert ask("/api/tasks", authorised=False)[0] == 401
    assert ask("/api/worker/shutdown/worker1@recordings", method="POST")[0] == 403
    shown = until(
        lambda: next((seen for seen in [ask("/api/tasks?taskname=recordings.upload")[1]] if str(upload) in seen), "")
    )
    for task in json.loads(shown).values():
        assert task["name"] == "recordings.upload"
        assert re.fullmatch(
            r"\{'org_id': '[0-9a-f-]{36}', 'upload_ids': \['[0-9a-f-]{36}'(, '[0-9a-f-]{36}'){0,9}\]\}", task["kwargs"]
        )
    assert "http" not in shown
    assert "eyJ" not in shown, "a grant"


def test_logs_hold_no_url_of_a_provider_no_grant_and_no_secret(stack: RunningStack) -> None:
    written = stack.logs()
    assert "upload_completed" in written
    assert stack.provider.url not in written
    assert "eyJ" not in written
    for settings in stack.roles.values():
        for name, value in settings.items():
            if name.endswith(("KEY", "SECRET", "AUTH")):
                assert value not in written, name

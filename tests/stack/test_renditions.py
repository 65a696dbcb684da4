"""A recording in another format on the running system: asked for in SQL, made once by a process, linked to, kept."""

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
import requests
from celery import Celery

from tests.stack.conftest import RunningStack, recordings
from tests.stack.test_downloads import as_user, token
from tests.tones import encoded, seconds, tone
from tests.waiting import until
from workers.audio import sniff
from workers.demo.recordings import Recording

pytestmark = pytest.mark.stack

LONG_S = 60.0
"""An encoder takes about a second to start where many share the processors."""
TONE = tone()


def stored(stack: RunningStack, org_id: UUID, content: bytes) -> dict[str, Any]:
    url = stack.provider.add(f"/{uuid4().hex}", content)
    row = stack.settled(stack.enqueue(org_id, url))
    assert row["status"] == "completed", row["error_code"]
    return row


def ask(stack: RunningStack, org_id: UUID, call_id: UUID, wanted: str, user_id: UUID | None = None) -> UUID:
    query = "SELECT request_recording_download(%s, 'complaint', %s)"
    ((asked,),) = as_user(stack, org_id, user_id or uuid4(), query, call_id, wanted)
    found: UUID = asked
    return found


def answered(stack: RunningStack, asked: UUID) -> dict[str, Any]:
    """The request, as the administrator sees it, with its link before that ends."""

    def row() -> dict[str, Any]:
        with stack.admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            cursor.execute("SELECT * FROM recording_downloads WHERE id = %s", (asked,))
            found = cursor.fetchone()
        return {} if found is None or found["status"] == "requested" else found

    return until(row, timeout_s=LONG_S)


def renditions(stack: RunningStack, org_id: UUID) -> list[dict[str, Any]]:
    with stack.admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        cursor.execute("SELECT * FROM recording_renditions WHERE org_id = %s", (org_id,))
        return cursor.fetchall()


def objects(stack: RunningStack, org_id: UUID) -> list[str]:
    with stack.store() as store:
        return list(store.list(f"{org_id}/"))


def sources() -> list[Any]:
    made = {"wav": TONE, "mp3": encoded(TONE, "libmp3lame", "mp3"), "flac": encoded(TONE, "flac", "flac")}
    made["m4a"] = encoded(TONE, "aac", "ipod")
    pairs = [(kind, wanted) for kind in made for wanted in ("mp3", "ogg", "flac", "wav") if kind != wanted]
    return [pytest.param(made[kind], wanted, id=f"{kind}-{wanted}") for kind, wanted in pairs]


@pytest.mark.parametrize(("content", "wanted"), sources())
def test_a_recording_is_had_in_another_format_and_is_as_long(stack: RunningStack, content: bytes, wanted: str) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, content)
    found = answered(stack, ask(stack, org_id, row["call_id"], wanted))
    assert (found["status"], found["error_code"]) == ("ready", None)
    answer = requests.get(found["url"], timeout=10)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="recording-{row["call_id"]}.{wanted}"'
    (kept,) = renditions(stack, org_id)
    assert sha256(answer.content).hexdigest() == found["sha256"] == kept["sha256"] != row["sha256"]
    assert (kept["source_sha256"], kept["upload_id"], kept["size_bytes"]) == (
        row["sha256"],
        row["id"],
        len(answer.content),
    )
    assert objects(stack, org_id) == sorted([row["object_key"], kept["object_key"]])
    kind = sniff(answer.content[:4096])
    assert kind is not None
    assert (kind.name, answer.headers["Content-Type"]) == (wanted, kind.content_type)
    # A frame is what an encoder takes at once: of the widest, AAC's, 1024 samples.
    assert seconds(answer.content) == pytest.approx(seconds(content), abs=1152 / 8000)


def test_a_second_request_is_given_the_same_rendition(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.5))
    first, second = (answered(stack, ask(stack, org_id, row["call_id"], "mp3")) for _ in range(2))
    (kept,) = renditions(stack, org_id)
    assert first["sha256"] == second["sha256"] == kept["sha256"]
    assert len(objects(stack, org_id)) == 2
    assert stack.logs().count(f'"download_id": "{second["id"]}", "org_id"') == 1, "linked to, and not made"


def test_its_own_format_is_the_recording_as_it_is_stored(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.2))
    found = answered(stack, ask(stack, org_id, row["call_id"], "wav"))
    assert (found["status"], found["sha256"], found["format"]) == ("ready", row["sha256"], None)
    assert renditions(stack, org_id) == []


def test_bytes_that_cannot_be_decoded_are_not_convertible_and_leave_nothing(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, b"fLaC" + os.urandom(50_000))
    found = answered(stack, ask(stack, org_id, row["call_id"], "mp3"))
    assert (found["status"], found["error_code"], found["url"]) == ("failed", "not_convertible", None)
    assert renditions(stack, org_id) == []
    assert objects(stack, org_id) == [row["object_key"]]


@pytest.mark.parametrize("harm", ["object_missing", "object_differs"])
def test_nothing_is_made_of_an_object_that_is_not_what_was_stored(stack: RunningStack, harm: str) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.1))
    with stack.store() as store:
        store.client.delete_object(Bucket=store.bucket, Key=row["object_key"])
        if harm == "object_differs":
            store.client.put_object(Bucket=store.bucket, Key=row["object_key"], Body=tone(1.1, hertz=441))
    found = answered(stack, ask(stack, org_id, row["call_id"], "mp3"))
    assert (found["status"], found["error_code"]) == ("failed", harm)
    assert renditions(stack, org_id) == []


def test_a_rendition_whose_object_is_gone_is_made_again(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.3))
    first = answered(stack, ask(stack, org_id, row["call_id"], "ogg"))
    (kept,) = renditions(stack, org_id)
    with stack.store() as store:
        store.client.delete_object(Bucket=store.bucket, Key=kept["object_key"])
    again = answered(stack, ask(stack, org_id, row["call_id"], "ogg"))
    assert (again["status"], again["sha256"]) == ("ready", first["sha256"]), "the same input gives the same bytes"
    assert renditions(stack, org_id) == [kept]


def test_two_that_ask_at_once_are_given_one_rendition(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.4))
    asked = [ask(stack, org_id, row["call_id"], "flac") for _ in range(2)]
    found = [answered(stack, one) for one in asked]
    (kept,) = renditions(stack, org_id)
    assert [one["sha256"] for one in found] == [kept["sha256"]] * 2
    assert len(objects(stack, org_id)) == 2


def encoders(stack: RunningStack) -> list[psutil.Process]:
    try:
        below = psutil.Process(stack.pid("renditions")).children(recursive=True)
        return [process for process in below if "workers.encoder" in process.cmdline()]
    except psutil.NoSuchProcess:
        return []


def test_a_worker_that_is_killed_midway_leaves_nothing_and_the_next_one_answers(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, Recording(seed=7, size=20_000_000).bytes())
    asked = ask(stack, org_id, row["call_id"], "mp3")
    (encoder, *_) = until(lambda: encoders(stack), timeout_s=LONG_S)
    worker = stack.pid("renditions")
    pool = psutil.Process(worker).children()
    for process in (worker, *(child.pid for child in pool)):
        os.kill(process, signal.SIGKILL)
    until(lambda: not encoder.is_running() or encoder.status() == psutil.STATUS_ZOMBIE, timeout_s=10.0)
    until(lambda: stack.pid("renditions") != worker, timeout_s=LONG_S)
    assert renditions(stack, org_id) == []
    assert objects(stack, org_id) == [row["object_key"]]
    # Not two minutes, for once.
    stack.admin.execute("UPDATE recording_downloads SET dispatched_until = now() WHERE id = %s", (asked,))
    assert answered(stack, asked)["status"] == "ready"
    (kept,) = renditions(stack, org_id)
    assert objects(stack, org_id) == sorted([row["object_key"], kept["object_key"]])


def test_a_worker_that_is_told_to_stop_puts_the_request_back_and_it_is_answered_at_once(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, Recording(seed=8, size=45_000_000).bytes())
    asked = ask(stack, org_id, row["call_id"], "mp3")
    until(lambda: encoders(stack), timeout_s=LONG_S)
    worker = stack.pid("renditions")
    os.kill(worker, signal.SIGTERM)
    marked = "SELECT dispatched_until > now() + interval '100 seconds' FROM recording_downloads WHERE id = %s"
    until(lambda: f'"download_id": "{asked}", "code": "interrupted"' in stack.logs(), timeout_s=LONG_S)
    until(lambda: stack.pid("renditions") != worker, timeout_s=LONG_S)
    until(lambda: stack.admin.execute(marked, (asked,)).fetchone() == (True,), timeout_s=LONG_S)
    until(lambda: encoders(stack), timeout_s=LONG_S)
    stack.admin.execute("UPDATE recording_downloads SET status = 'revoked' WHERE id = %s", (asked,))


def test_who_makes_renditions_reports_as_every_worker_does_and_the_others_do_not_serve_them(
    stack: RunningStack,
) -> None:
    def states() -> dict[str, str]:
        shown = json.loads(recordings("status", "--json", **stack.roles["ops"]).stdout)
        return {worker["worker"]: worker["state"] for worker in shown["workers"]}

    until(lambda: states().get("renditions@recordings") == "well", timeout_s=LONG_S)
    with Celery(broker=stack.roles["worker"]["REDIS_URL"], set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        served = until(lambda: app.control.inspect(timeout=5).active_queues() or {}, timeout_s=LONG_S)
    names = {worker: {queue["name"] for queue in queues} for worker, queues in served.items()}
    assert names["renditions@recordings"] == {"rendition"}
    assert names["worker1@recordings"] == {"upload", "download", "export", "maintenance"}


def test_a_sweep_finds_nothing_amiss_in_a_rendition_and_finds_one_that_is_gone(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, tone(1.6))
    answered(stack, ask(stack, org_id, row["call_id"], "mp3"))
    (kept,) = renditions(stack, org_id)
    sweep = ("storage", "sweep", "--org", str(org_id), "--reason", "test", "--wait")

    def findings() -> list[tuple[str, str]]:
        done = recordings(*sweep, **stack.roles["ops"])
        assert "Traceback" not in done.stderr
        listed = recordings("storage", "findings", "--org", str(org_id), "--json", **stack.roles["ops"])
        return [(found["code"], found["object_key"]) for found in json.loads(listed.stdout)]

    assert findings() == []
    orphan = kept["object_key"].replace(kept["sha256"][:16], "0" * 16)
    with stack.store() as store:
        store.client.put_object(Bucket=store.bucket, Key=orphan, Body=b"x")
        store.client.delete_object(Bucket=store.bucket, Key=kept["object_key"])
    assert sorted(findings()) == [("object_missing", kept["object_key"]), ("object_orphaned", orphan)]
    assert objects(stack, org_id) == [row["object_key"]]


def test_another_organisations_recording_cannot_be_asked_for_in_any_format(stack: RunningStack) -> None:
    org_id, stranger = stack.organisation(), stack.organisation()
    row = stored(stack, org_id, tone(1.0))
    with pytest.raises(psycopg.Error, match="call_not_found"):
        ask(stack, stranger, row["call_id"], "mp3")


def test_a_person_downloads_a_recording_in_a_format_with_their_token(stack: RunningStack, tmp_path: Path) -> None:
    org_id = stack.organisation()
    row = stored(stack, org_id, TONE)
    out = tmp_path / "call.mp3"
    settings = stack.roles["authenticator"] | {"RECORDINGS_TOKEN": token(stack, org_id)}
    options = ("--format", "mp3", "--out", str(out), "--json")
    done = recordings("download", str(row["call_id"]), *options, **settings)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sha256"] == sha256(out.read_bytes()).hexdigest() != row["sha256"]
    assert said["size_bytes"] == out.stat().st_size
    assert seconds(out.read_bytes()) == pytest.approx(2.5, abs=1152 / 8000)


def test_a_worker_of_threads_that_is_asked_for_renditions_says_what_to_do(stack: RunningStack) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "threads", "-Q", "upload,rendition"]
    done = subprocess.run(
        command, env=os.environ | stack.roles["worker"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "-P processes" in done.stderr
    assert "Traceback" not in done.stderr

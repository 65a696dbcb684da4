"""A sweep on the running system: asked for by an operator, rung for by the dispatcher, carried out by a worker."""

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.pipeline.s3_server import payload
from tests.stack.conftest import RunningStack, recordings
from tests.throttle import Throttle
from tests.waiting import until
from workers.demo.behaviours import no_length
from workers.store import Store
from workers.sweep import upload_of
from workers.territory import QUARANTINE

pytestmark = pytest.mark.stack


def sweep(stack: RunningStack, org: UUID) -> tuple[int, set[tuple[str, str, str]]]:
    """As an operator does it: the exit code, and what is open."""
    done = recordings("storage", "sweep", "--org", str(org), "--wait", "--json", **stack.roles["ops"])
    found = json.loads(done.stdout)
    assert {one["org_id"] for one in found} <= {str(org)}
    return done.returncode, {(one["code"], one["object_key"], one["action"]) for one in found}


def completed(stack: RunningStack, org: UUID) -> dict[str, Any]:
    url, _ = stack.recording(20_000)
    return stack.settled(stack.enqueue(org, url))


def put(store: Store, key: str) -> str:
    store.put(key, "audio/wav", payload(b"RIFF" * 500))
    return key


def test_what_is_wrong_is_found_and_seen_to_and_what_is_lost_is_said(stack: RunningStack) -> None:
    org, neighbour = stack.organisation(), stack.organisation()
    row, gone = completed(stack, org), completed(stack, org)
    theirs = f"{neighbour}/2026/05/{uuid4()}/{uuid4()}.wav"
    orphan, part = (f"{org}/2026/05/{uuid4()}/{uuid4()}.wav" for _ in range(2))
    with stack.store() as store:
        put(store, orphan)
        put(store, theirs)
        lost = b"".join(store.get(gone["object_key"]))
        store.client.delete_object(Bucket=store.bucket, Key=gone["object_key"])
        store.client.create_multipart_upload(Bucket=store.bucket, Key=part)
        assert sweep(stack, org) == (
            1,
            {
                ("object_orphaned", orphan, "quarantined"),
                ("multipart_stale", part, "aborted"),
                ("object_missing", gone["object_key"], "reported"),
            },
        )
        shown = recordings("storage", "findings", "--org", str(org), **stack.roles["ops"])
        assert shown.returncode == 1
        assert "object_missing" in shown.stdout
        assert set(store.list(f"{org}/")) == {row["object_key"]}
        assert b"".join(store.get(QUARANTINE + orphan)) == b"RIFF" * 500
        assert list(store.list(f"{neighbour}/")) == [theirs]
        store.put(gone["object_key"], "audio/wav", payload(lost))
        assert sweep(stack, org) == (0, set())
    assert "nothing is wrong" in recordings("storage", "findings", "--org", str(org), **stack.roles["ops"]).stdout


def test_a_transfer_in_parts_that_is_under_way_is_left_alone(stack: RunningStack) -> None:
    org = stack.organisation()
    slowly = Throttle(1_600_000)  # parts begin after 5 s, and end after 25
    url, source = stack.recording(40_000_000, no_length(), slowly)
    upload_id = stack.enqueue(org, url)
    with stack.store() as store:

        def under_way() -> Any:
            return store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=f"{org}/").get("Uploads")

        (part,) = until(under_way)
        assert upload_of(part["Key"], org) == upload_id
        assert sweep(stack, org) == (0, set())
        assert under_way()
        slowly.let_go()
        row = stack.settled(upload_id, timeout_s=60)
        assert (row["status"], row["attempt"]) == ("completed", 1)
        assert b"".join(store.get(row["object_key"])) == source.bytes()


def test_nothing_of_a_sweep_tells_a_key_to_the_log(stack: RunningStack) -> None:
    org = stack.organisation()
    name = f"{uuid4()}-555-0100"
    with stack.store() as store:
        put(store, f"{org}/{name}")
    assert sweep(stack, org) == (0, {("object_unknown", f"{org}/{name}", "reported")})
    logs = stack.logs()
    assert str(org) in logs
    assert "sweep_finished" in logs
    assert name not in logs


def test_a_request_that_cannot_be_is_said_in_a_sentence(stack: RunningStack) -> None:
    refused = recordings("storage", "sweep", "--org", str(uuid4()), **stack.roles["ops"])
    assert refused.returncode == 2
    assert "no active organisation has the id" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_sweep_is_on_record_with_who_and_why(stack: RunningStack) -> None:
    org = stack.organisation()
    asked = recordings("storage", "sweep", "--org", str(org), "--reason", "a customer asked", **stack.roles["ops"])
    assert asked.returncode == 0, asked.stderr
    with psycopg.connect(stack.roles["ops"]["DATABASE_URL"]) as operator:
        written = operator.execute("SELECT actor, action, reason FROM audit_log WHERE org_id = %s", (org,)).fetchall()
    assert written == [("recording_ops", "sweep_requested", "a customer asked")]

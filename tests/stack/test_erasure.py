"""A recording's end on the running system: asked for by an operator, or by time; a worker's work; and the receipt."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from tests.pipeline.s3_server import payload
from tests.stack.conftest import RunningStack, recordings
from tests.stack.test_downloads import as_user, stored, token
from tests.waiting import until
from workers.store import Store
from workers.territory import QUARANTINE

pytestmark = pytest.mark.stack


@pytest.fixture
def store(stack: RunningStack) -> Iterator[Store]:
    with stack.store() as opened:
        yield opened


@pytest.fixture
def with_versions(store: Store) -> Iterator[Store]:
    """The stack's bucket keeps versions from now on, as many do."""
    versioning = store.client.put_bucket_versioning
    versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    yield store
    versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Suspended"})


def versions(store: Store, org_id: UUID) -> list[str]:
    found = []
    for place in ("", QUARANTINE):
        listed = store.client.list_object_versions(Bucket=store.bucket, Prefix=f"{place}{org_id}/")
        found += [one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]
    return sorted(found)


def ops(stack: RunningStack, *arguments: object, code: int = 0) -> Any:
    done = recordings(*map(str, arguments), "--json", **stack.roles["ops"])
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def link_to(stack: RunningStack, org_id: UUID, call_id: UUID) -> tuple[UUID, str]:
    user_id = uuid4()
    ((asked,),) = as_user(stack, org_id, user_id, "SELECT request_recording_download(%s, 'complaint')", call_id)
    look = "SELECT url FROM recording_downloads WHERE id = %s"
    return asked, str(until(lambda: as_user(stack, org_id, user_id, look, asked)[0][0], timeout_s=10.0))


def test_an_erased_recording_is_gone_with_its_versions_and_its_receipt_is_there(
    stack: RunningStack, with_versions: Store
) -> None:
    store, org_id, stranger = with_versions, stack.organisation(), stack.organisation()
    (row, _), (theirs, source) = stored(stack, org_id), stored(stack, stranger)
    call_id, key = row["call_id"], row["object_key"]
    # As somebody else: another version, a delete marker, a copy that was put aside.
    store.client.put_object(Bucket=store.bucket, Key=key, Body=b"another")
    store.put(QUARANTINE + key, "audio/wav", payload(b"RIFF"))
    store.client.delete_object(Bucket=store.bucket, Key=QUARANTINE + key)
    assert len(versions(store, org_id)) == 4
    said = ops(stack, "erase", "--call", call_id, "--reason", "the patient asked, ticket 4711")
    assert (said["result"], said["reason"]) == ("erased", "the patient asked, ticket 4711")
    assert said["recordings"] == [
        {"upload_id": str(row["id"]), "sha256": row["sha256"], "size_bytes": row["size_bytes"]}
    ]
    assert said["objects"] == 4
    assert versions(store, org_id) == []
    assert store.head(key) is None
    # Who plays it is told so; the trail stays.
    bearer = {"RECORDINGS_TOKEN": token(stack, org_id)}
    played = recordings("download", str(call_id), **(stack.roles["authenticator"] | bearer))
    assert (played.returncode, played.stderr.split(":")[1].strip()) == (1, "recording_erased")
    trail = "SELECT action, actor, reason, detail FROM audit_log WHERE subject_id = %s ORDER BY id"
    planned, receipt = stack.admin.execute(trail, (call_id,)).fetchall()
    assert planned[:3] == ("erasure_planned", "recording_ops", "the patient asked, ticket 4711")
    assert receipt[:3] == ("recording_erased", "recording_worker", "the patient asked, ticket 4711")
    assert receipt[3]["recordings"][0]["sha256"] == row["sha256"]
    # Another organisation's recording is where it was.
    assert versions(store, stranger) == [theirs["object_key"]]
    assert b"".join(store.get(theirs["object_key"])) == source.bytes()


def test_a_link_that_was_handed_out_leads_nowhere_after_the_erasure(stack: RunningStack, store: Store) -> None:
    org_id = stack.organisation()
    row, _ = stored(stack, org_id)
    asked, link = link_to(stack, org_id, row["call_id"])
    extend = "UPDATE recording_downloads SET expires_at = now() + interval '1 hour' WHERE id = %s AND status = 'ready'"
    assert stack.admin.execute(extend, (asked,)).rowcount == 1
    ops(stack, "erase", "--call", row["call_id"], "--reason", "the patient asked")
    assert requests.get(link, timeout=10).status_code in {403, 404}
    state = stack.admin.execute("SELECT status, url FROM recording_downloads WHERE id = %s", (asked,)).fetchone()
    assert state == ("revoked", None)
    assert store.head(row["object_key"]) is None


def test_what_is_erased_is_not_fetched_again_and_no_sweep_misses_it(stack: RunningStack) -> None:
    org_id = stack.organisation()
    row, _ = stored(stack, org_id)
    ops(stack, "erase", "--call", row["call_id"], "--reason", "the patient asked")
    # The answer to a second request is the first one's receipt.
    again = ops(stack, "erase", "--call", row["call_id"], "--reason", "the patient asked twice")
    assert again["reason"] == "the patient asked"
    enqueue = "SELECT upload_id FROM enqueue_recording(%s, 'https', %s, 'https://provider.example/again')"
    name = (org_id, row["recording_id"])
    assert stack.admin.execute(enqueue, name).fetchone() == (row["id"],)
    assert stack.row(row["id"])["source_url"] == "https://erased.invalid/"
    assert ops(stack, "storage", "sweep", "--org", org_id, "--wait") == []


def test_a_recording_on_legal_hold_stays_until_it_is_released(stack: RunningStack, store: Store) -> None:
    org_id = stack.organisation()
    row, _ = stored(stack, org_id)
    call_id = row["call_id"]
    assert ops(stack, "hold", "--call", call_id, "--reason", "court order 7")["result"] == "held"
    refused = recordings("erase", "--call", str(call_id), "--reason", "x", **stack.roles["ops"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: on_legal_hold: ")
    assert store.head(row["object_key"])
    assert ops(stack, "hold", "--call", call_id, "--reason", "settled", "--release")["result"] == "released"
    ops(stack, "erase", "--call", call_id, "--reason", "x")
    assert store.head(row["object_key"]) is None


def test_what_an_organisation_does_not_keep_goes_by_itself(stack: RunningStack, store: Store) -> None:
    org_id = stack.organisation()
    (old, _), (young, _) = stored(stack, org_id), stored(stack, org_id)
    age = "UPDATE call_logs SET recording_uploaded_at = now() - interval '31 days' WHERE id = %s"
    stack.admin.execute(age, (old["call_id"],))
    kept = recordings("orgs", "retention", str(org_id), "30", **stack.roles["admin"])
    assert (kept.returncode, kept.stdout) == (0, f"{org_id}  Clinic: kept 30 days\n")
    until(lambda: store.head(old["object_key"]) is None, timeout_s=60.0)
    until(lambda: ops(stack, "erasures", "--org", org_id)[0]["state"] == "erased", timeout_s=10.0)
    (found,) = ops(stack, "erasures", "--org", org_id)
    assert (found["call_id"], found["cause"], found["reason"]) == (str(old["call_id"]), "retention", "kept for 30 days")
    assert store.head(young["object_key"])
    trail = "SELECT actor, detail FROM audit_log WHERE subject_id = %s AND action = 'retention_set'"
    ((_, detail),) = stack.admin.execute(trail, (org_id,)).fetchall()
    assert detail["days"] == 30


@pytest.mark.parametrize("days", ["0", "-1", "36501", "a week"])
def test_nonsense_is_refused_in_a_sentence(stack: RunningStack, days: str) -> None:
    refused = recordings("orgs", "retention", "--", str(uuid4()), days, **stack.roles["admin"])
    assert refused.returncode == 2
    assert "is no time to keep" in refused.stderr


def test_what_does_not_exist_is_said_so(stack: RunningStack) -> None:
    assert ops(stack, "erase", "--call", uuid4(), "--reason", "x", code=1)["result"] == "not_found"
    assert ops(stack, "hold", "--call", uuid4(), "--reason", "x", code=1)["result"] == "not_found"
    unreasonable = recordings("erase", "--call", str(uuid4()), "--reason", " ", **stack.roles["ops"])
    assert unreasonable.returncode in {1, 2}
    assert "reason is missing" in unreasonable.stderr
    assert "Traceback" not in unreasonable.stderr

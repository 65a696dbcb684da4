"""Many recordings at once on the running system: asked for, packed by a worker, fetched, proven, and over."""

import csv
import io
import json
import shutil
import subprocess
import zipfile
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from tests.stack.conftest import RunningStack, recordings
from tests.stack.test_downloads import as_user, stored, token
from tests.waiting import until

pytestmark = pytest.mark.stack
_ASK = "SELECT request_recording_export(%s::uuid[], 'complaint 12')"
_STATE = "SELECT status, recordings_done, recordings_total, error_code, sha256, size_bytes FROM recording_exports"
_LINKS = "SELECT DISTINCT status, url FROM recording_downloads WHERE export_id = %s"


def ask(stack: RunningStack, org_id: UUID, user_id: UUID, calls: list[UUID]) -> UUID:
    ((asked,),) = as_user(stack, org_id, user_id, _ASK, calls)
    found: UUID = asked
    return found


def state(stack: RunningStack, org_id: UUID, user_id: UUID, export_id: UUID) -> Any:
    return as_user(stack, org_id, user_id, f"{_STATE} WHERE id = %s", export_id)[0]


def zips(stack: RunningStack, org_id: UUID) -> list[str]:
    with stack.store() as store:
        return list(store.list(f"exports/{org_id}/"))


def test_a_zip_holds_the_very_bytes_and_says_so_and_ends_with_its_link(stack: RunningStack, tmp_path: Path) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    rows = [stored(stack, org_id) for _ in range(3)]
    export_id = ask(stack, org_id, user_id, [row["call_id"] for row, _ in rows])
    until(lambda: state(stack, org_id, user_id, export_id)[0] == "ready")
    (link,) = as_user(stack, org_id, user_id, _LINKS, export_id)
    assert link[0] == "ready"
    with closing(requests.get(link[1], timeout=10)) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"] == f'attachment; filename="recordings-{export_id}.zip"'
        body = answer.content
    _, done, total, code, digest, size = state(stack, org_id, user_id, export_id)
    assert (done, total, code, digest, size) == (3, 3, None, sha256(body).hexdigest(), len(body))
    file = tmp_path / "recordings.zip"
    file.write_bytes(body)
    subprocess.run([unzip(), "-tq", str(file)], check=True, capture_output=True)
    expected = {f"recording-{row['call_id']}.wav": source.bytes() for row, source in rows}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert set(archive.namelist()) == {*expected, "manifest.json", "manifest.csv"}
        assert {name: archive.read(name) for name in expected} == expected
        listed = json.loads(archive.read("manifest.json"))
        lines = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
    assert listed["export_id"] == str(export_id)
    hashes = {name: sha256(content).hexdigest() for name, content in expected.items()}
    assert {one["file"]: one["sha256"] for one in listed["recordings"]} == hashes
    assert {one["file"]: one["sha256"] for one in lines} == hashes
    # Over: nobody reads a link, and the link leads nowhere.
    until(lambda: state(stack, org_id, user_id, export_id)[0] == "expired", timeout_s=15.0)
    until(lambda: as_user(stack, org_id, user_id, _LINKS, export_id) == [("expired", None)], timeout_s=5.0)
    until(lambda: requests.get(link[1], timeout=10).status_code in {403, 404}, timeout_s=5.0)
    trail = stack.admin.execute(
        "SELECT action FROM audit_log WHERE subject_id = %s ORDER BY id", (export_id,)
    ).fetchall()
    assert trail == [("export_requested",), ("export_ready",), ("export_expired",)]
    each = "SELECT count(*) FROM audit_log WHERE action = 'download_requested' AND detail ->> 'export_id' = %s"
    assert stack.admin.execute(each, (str(export_id),)).fetchone() == (3,)
    assert "X-Amz-Signature" not in stack.logs()


def unzip() -> str:
    return shutil.which("unzip") or pytest.skip("unzip is not installed")


def test_another_organisations_call_and_none_are_answered_alike_and_nothing_is_asked_for(stack: RunningStack) -> None:
    org_id, other, user_id = stack.organisation(), stack.organisation(), uuid4()
    mine, theirs = stored(stack, org_id)[0]["call_id"], stored(stack, other)[0]["call_id"]
    for foreign in (theirs, uuid4()):
        with pytest.raises(Exception, match="call_not_found: no such call"):
            ask(stack, org_id, user_id, [mine, foreign])
    assert as_user(stack, org_id, user_id, "SELECT count(*) FROM recording_exports") == [(0,)]


@pytest.mark.parametrize("harm", ["object_missing", "object_differs"])
def test_an_export_with_a_recording_that_is_not_what_was_stored_is_none(stack: RunningStack, harm: str) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    good, bad = stored(stack, org_id)[0], stored(stack, org_id)[0]
    with stack.store() as store:
        store.client.delete_object(Bucket=store.bucket, Key=bad["object_key"])
        if harm == "object_differs":
            store.client.put_object(Bucket=store.bucket, Key=bad["object_key"], Body=b"RIFF0000WAVE")
    export_id = ask(stack, org_id, user_id, [good["call_id"], bad["call_id"]])
    until(lambda: state(stack, org_id, user_id, export_id)[0] == "failed")
    assert state(stack, org_id, user_id, export_id)[3] == harm
    assert as_user(stack, org_id, user_id, _LINKS, export_id) == [("failed", None)]
    assert zips(stack, org_id) == []


def test_a_person_exports_with_their_token_and_operators_see_and_revoke(stack: RunningStack, tmp_path: Path) -> None:
    org_id, out = stack.organisation(), tmp_path / "all.zip"
    rows = [stored(stack, org_id) for _ in range(2)]
    user = {"RECORDINGS_TOKEN": token(stack, org_id)}
    done = recordings("export", "--all", "--out", str(out), "--json", **stack.roles["authenticator"], **user)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sha256"] == sha256(out.read_bytes()).hexdigest()
    with zipfile.ZipFile(out) as archive:
        assert len(archive.namelist()) == len(rows) + 2
    neither = recordings("export", "--out", str(tmp_path / "x.zip"), **stack.roles["authenticator"], **user)
    assert neither.returncode == 2
    assert "say which" in neither.stderr
    found = json.loads(recordings("downloads", "exports", "--org", str(org_id), "--json", **stack.roles["ops"]).stdout)
    assert [(one["id"], one["recordings_done"]) for one in found] == [(said["export_id"], 2)]
    # Whatever the commands take, the link does not end by itself meanwhile.
    again = ask(stack, org_id, uuid4(), [row["call_id"] for row, _ in rows])
    extend = (
        "WITH ready AS (UPDATE recording_exports SET expires_at = now() + interval '1 hour'"
        " WHERE id = %s AND status = 'ready' RETURNING id)"
        " UPDATE recording_downloads AS d SET expires_at = now() + interval '1 hour'"
        " FROM ready WHERE d.export_id = ready.id"
    )
    until(lambda: stack.admin.execute(extend, (again,)).rowcount == 2)
    revoked = recordings("downloads", "revoke", str(again), "--reason", "wrong patient", **stack.roles["ops"])
    assert (revoked.returncode, revoked.stdout) == (0, f"{again}: revoked\n")
    links = stack.admin.execute("SELECT DISTINCT status, url FROM recording_downloads WHERE export_id = %s", (again,))
    assert links.fetchall() == [("revoked", None)]


def test_an_export_whose_worker_is_killed_midway_is_made_by_another(stack: RunningStack) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    calls = [stored(stack, org_id)[0]["call_id"] for _ in range(2)]
    # Somebody had it, and died without a word: its lease has run out.
    lost = (
        "INSERT INTO recording_exports (org_id, requested_by, reason, recordings_total, status, attempt, worker,"
        " lease_expires_at) VALUES (%s, %s, 'complaint', 2, 'processing', 1, 'w', now() - interval '1 second')"
        " RETURNING id"
    )
    ((again,),) = stack.admin.execute(lost, (org_id, user_id)).fetchall()
    parts = (
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason, kind, export_id, sha256)"
        " SELECT org_id, id, %s, 'complaint', 'export', %s, recording_sha256 FROM call_logs WHERE id = ANY(%s)"
    )
    stack.admin.execute(parts, (user_id, again, calls))
    until(lambda: state(stack, org_id, user_id, again)[0] == "ready")
    taken = stack.admin.execute("SELECT attempt, failures FROM recording_exports WHERE id = %s", (again,)).fetchone()
    assert taken == (2, 1)
    assert zips(stack, org_id) == [f"exports/{org_id}/{again}-2.zip"]

"""A user's way to a recording on the running system: asked for in SQL, made by a worker, fetched, and over."""

import json
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
import requests

from tests.stack.conftest import RunningStack, recordings
from tests.waiting import until
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.pickup import DownloadError, Link, fetch

pytestmark = pytest.mark.stack


def as_user(stack: RunningStack, org_id: UUID, user_id: UUID, query: str, *values: Any) -> list[Any]:
    with psycopg.connect(stack.roles["authenticator"]["DATABASE_URL"]) as connection:
        claims = {"sub": str(user_id), "app_metadata": {"org_id": str(org_id)}}
        connection.execute(
            "SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            (json.dumps(claims),),
        )
        return connection.execute(query, values).fetchall()


def stored(stack: RunningStack, org_id: UUID) -> tuple[dict[str, Any], Recording]:
    url, recording = stack.recording(300_000)
    return stack.settled(stack.enqueue(org_id, url)), recording


def test_the_link_gives_the_very_bytes_for_some_seconds_and_then_nothing(stack: RunningStack) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    row, source = stored(stack, org_id)
    ((asked,),) = as_user(stack, org_id, user_id, "SELECT request_recording_download(%s, 'complaint')", row["call_id"])

    def state() -> tuple[str, str | None]:
        ((status, url),) = as_user(
            stack, org_id, user_id, "SELECT status, url FROM recording_downloads WHERE id = %s", asked
        )
        return status, url

    link = str(until(lambda: state()[1], timeout_s=10.0))
    with closing(requests.get(link, timeout=10)) as answer:
        assert answer.status_code == 200
        assert sha256(answer.content).hexdigest() == row["sha256"] == sha256(source.bytes()).hexdigest()
        assert answer.headers["Content-Disposition"] == f'attachment; filename="recording-{row["call_id"]}.wav"'
        assert answer.headers["Content-Type"] == "audio/wav"
    # The key is signed: the same link to another object is none.
    assert requests.get(link.replace(str(row["id"]), str(uuid4())), timeout=10).status_code == 403
    until(lambda: state() == ("expired", None), timeout_s=10.0)
    until(lambda: requests.get(link, timeout=10).status_code == 403, timeout_s=5.0)
    actions = stack.admin.execute("SELECT action FROM audit_log WHERE subject_id = %s ORDER BY id", (asked,)).fetchall()
    assert actions == [("download_requested",), ("download_ready",), ("download_expired",)]
    assert "X-Amz-Signature" not in stack.logs()


@pytest.mark.parametrize("harm", ["object_missing", "object_differs"])
def test_of_an_object_that_is_not_what_was_stored_there_is_no_link(stack: RunningStack, harm: str) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    row, _ = stored(stack, org_id)
    with stack.store() as store:
        store.client.delete_object(Bucket=store.bucket, Key=row["object_key"])
        if harm == "object_differs":
            store.client.put_object(Bucket=store.bucket, Key=row["object_key"], Body=b"RIFF0000WAVE")
    query = "SELECT request_recording_download(%s, 'complaint')"
    ((asked,),) = as_user(stack, org_id, user_id, query, row["call_id"])
    look = "SELECT status, error_code, url FROM recording_downloads WHERE id = %s"
    until(lambda: as_user(stack, org_id, user_id, look, asked)[0][0] == "failed", timeout_s=10.0)
    assert as_user(stack, org_id, user_id, look, asked) == [("failed", harm, None)]


def token(stack: RunningStack, org_id: UUID, *, secret: str | None = None, **more: Any) -> str:
    now = int(time.time())
    claims = {"sub": str(uuid4()), "aud": "authenticated", "iat": now, "exp": now + 60}
    claims |= {"app_metadata": {"org_id": str(org_id)}} | more
    return jwt.encode(claims, secret or stack.roles["authenticator"]["RECORDINGS_JWT_SECRET"], algorithm="HS256")


def test_a_person_downloads_a_recording_with_their_token(stack: RunningStack, tmp_path: Path) -> None:
    org_id, stranger = stack.organisation(), stack.organisation()
    row, source = stored(stack, org_id)
    call_id, out = str(row["call_id"]), tmp_path / "call.wav"
    authenticator = stack.roles["authenticator"]

    def download(bearer: str, *options: str) -> Any:
        return recordings(
            "download", call_id, "--out", str(out), *options, **(authenticator | {"RECORDINGS_TOKEN": bearer})
        )

    mine = token(stack, org_id)
    done = download(mine, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sha256"] == row["sha256"]
    assert out.read_bytes() == source.bytes()
    assert download(mine).returncode == 2, "a file that is there is not replaced unasked"
    out.unlink()
    theirs = download(token(stack, stranger, user_metadata={"org_id": str(org_id)}))
    assert (theirs.returncode, theirs.stderr) == (1, "error: call_not_found: no such call\n")
    forged = download(token(stack, org_id, secret="x" * 32))
    assert forged.returncode == 2
    assert "unauthorized" in forged.stderr
    assert "Traceback" not in theirs.stderr + forged.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_comes_changed_on_the_way_is_thrown_away(tmp_path: Path) -> None:
    with Provider() as provider:
        url = provider.add("/x.wav", Recording(seed=1, size=5_000))
        link = Link(url, "0" * 64, 5_000, "wav")
        with pytest.raises(DownloadError, match="integrity_mismatch"):
            fetch(link, tmp_path / "x.wav", lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_operators_see_who_asked_and_why_and_can_take_a_link_away(stack: RunningStack) -> None:
    org_id, user_id = stack.organisation(), uuid4()
    row, _ = stored(stack, org_id)
    query = "SELECT request_recording_download(%s, 'complaint 12')"
    ((asked,),) = as_user(stack, org_id, user_id, query, row["call_id"])
    # Whatever the commands take, the link does not end by itself meanwhile.
    extend = "UPDATE recording_downloads SET expires_at = now() + interval '1 hour' WHERE id = %s AND status = 'ready'"
    until(lambda: stack.admin.execute(extend, (asked,)).rowcount == 1, timeout_s=10.0)
    listed = recordings("downloads", "list", "--org", str(org_id), "--json", **stack.roles["ops"])
    (found,) = json.loads(listed.stdout)
    assert (found["id"], found["requested_by"], found["reason"]) == (str(asked), str(user_id), "complaint 12")
    assert "url" not in found
    revoked = recordings("downloads", "revoke", str(asked), "--reason", "wrong patient", **stack.roles["ops"])
    assert (revoked.returncode, revoked.stdout) == (0, f"{asked}: revoked\n")
    state = as_user(stack, org_id, user_id, "SELECT status, url FROM recording_downloads WHERE id = %s", asked)
    assert state == [("revoked", None)]
    assert recordings("downloads", "revoke", str(uuid4()), "--reason", "x", **stack.roles["ops"]).returncode == 1

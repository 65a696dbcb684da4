"""The way back, on the running system: a provider refuses, somebody mends that, an operator retries."""

import json
from hashlib import sha256
from uuid import UUID

from tests.stack.conftest import RunningStack, recordings
from workers.demo.behaviours import status
from workers.demo.recordings import Recording


def failures(stack: RunningStack, *arguments: str) -> tuple[int, str, str]:
    ran = recordings("failures", *arguments, "--state", str(stack.state))
    return ran.returncode, ran.stdout, ran.stderr


def refused(stack: RunningStack, org: UUID, count: int) -> dict[UUID, tuple[str, Recording]]:
    """Uploads of recordings that the provider will not give: their paths, and what lies there."""
    made = {}
    for _ in range(count):
        url, source = stack.recording(20_000, status(403))
        made[stack.enqueue(org, url)] = (url.removeprefix(stack.provider.url), source)
    assert stack.all_settled(org) == {"failed": count}
    return made


def test_what_a_provider_refused_is_stored_after_the_cause_is_mended_and_an_operator_retried(
    stack: RunningStack,
) -> None:
    org, other = stack.organisation(), stack.organisation()
    uploads, others = refused(stack, org, 5), refused(stack, other, 1)
    for path, source in (*uploads.values(), *others.values()):
        stack.provider.add(path, source)
    wanted = ("retry", "--code", "source_forbidden", "--org", str(org), "--reason", "the provider renewed the key")

    code, said, _ = failures(stack, *wanted, "--dry-run")
    assert (code, "5 failures match, nothing was done" in said) == (0, True), said
    assert stack.all_settled(org) == {"failed": 5}

    code, said, trouble = failures(stack, *wanted)
    assert (code, "5 retried" in said) == (0, True), said + trouble
    assert stack.all_settled(org) == {"completed": 5}
    for upload_id, (_, source) in uploads.items():
        row = stack.row(upload_id)
        assert (row["sha256"], row["attempt"], row["failures"]) == (sha256(source.bytes()).hexdigest(), 2, 0)
    resolved = stack.admin.execute(
        "SELECT error_code, resolution, failure_count FROM failed_recording_uploads WHERE org_id = %s", (org,)
    ).fetchall()
    assert resolved == [("source_forbidden", "recovered", 1)] * 5
    audited = stack.admin.execute(
        "SELECT subject_id, actor, action, reason FROM audit_log WHERE org_id = %s", (org,)
    ).fetchall()
    assert {row[0] for row in audited} == set(uploads)
    assert [row[1:] for row in audited] == [("recording_ops", "upload_retried", "the provider renewed the key")] * 5
    assert stack.all_settled(other) == {"failed": 1}, "another organisation's is left as it is"


def test_the_story_of_an_upload_is_told_in_order(stack: RunningStack) -> None:
    org = stack.organisation()
    ((upload_id, (path, source)),) = refused(stack, org, 1).items()
    stack.provider.add(path, source)
    assert failures(stack, "retry", str(upload_id), "--reason", "mended")[0] == 0
    assert stack.settled(upload_id)["status"] == "completed"
    code, said, _ = failures(stack, "show", str(upload_id), "--json")
    assert code == 0
    story = json.loads(said)
    assert [one["outcome"] for one in story["attempts"]] == ["given_up", "completed"]
    assert story["attempts"][0]["created_at"] < story["audit"][0]["at"] < story["attempts"][1]["created_at"]
    assert stack.provider.url not in said
    again = failures(stack, "retry", str(upload_id), "--reason", "once more")
    assert again[:2] == (0, f"{upload_id}  already_completed: stored: there is nothing to do\n")

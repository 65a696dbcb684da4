"""What must be true of the uploads: none lost, none doubled, each as its script says, every byte the source's."""

from collections import Counter
from pathlib import PurePosixPath
from uuid import UUID

from workers.demo.check import Check, judged
from workers.demo.evidence import Evidence, Row
from workers.demo.killing import process_name
from workers.demo.kinds import FORBIDDEN, SLOW


def lost(evidence: Evidence) -> int:
    enqueued = evidence.enqueued
    return len(enqueued) - sum(
        row.upload_id in enqueued and row.status in ("completed", "failed") for row in evidence.rows
    )


def doubled(evidence: Evidence) -> int:
    """Rows beyond one a call, objects beyond one an upload, successes beyond one an upload."""
    rows = len(evidence.rows) - len({delivery.call.recording_id for delivery in evidence.deliveries})
    objects = len(evidence.objects) - len({PurePosixPath(key).stem for key in evidence.objects})
    successes = [attempt.upload_id for attempt in evidence.attempts if attempt.outcome == "completed"]
    return max(rows, 0) + objects + len(successes) - len(set(successes))


def none_lost(evidence: Evidence) -> Check:
    count, statuses = lost(evidence), Counter(row.status for row in evidence.rows)
    found = f"{len(evidence.enqueued)} enqueued = {statuses['completed']} stored + {statuses['failed']} failed"
    return Check("none lost", count == 0, found if count == 0 else f"{count} lost")


def none_doubled(evidence: Evidence) -> Check:
    count = doubled(evidence)
    return Check(
        "none doubled", count == 0, "one row, one object, one success each" if count == 0 else f"{count} doubled"
    )


def once_each(evidence: Evidence) -> Check:
    """A call that is reported twice is the same upload, and only the first report makes it."""
    answers: dict[str, list[tuple[UUID, bool]]] = {}
    for delivery in evidence.deliveries:
        answers.setdefault(delivery.call.recording_id, []).append((delivery.upload_id, delivery.created))
    wrong = [
        recording_id
        for recording_id, told in answers.items()
        if len({upload_id for upload_id, _ in told}) != 1
        or [created for _, created in told] != [True, *[False] * (len(told) - 1)]
    ]
    repeated = len(evidence.deliveries) - len(answers)
    return judged("a call reported twice is enqueued once", wrong, f"{repeated} repeated reports, no row more")


def ends_as_scripted(evidence: Evidence) -> Check:
    expected = {delivery.upload_id: delivery.call.kind for delivery in evidence.deliveries}
    wrong = []
    for row in evidence.rows:
        kind = expected.get(row.upload_id)
        code = kind.code if kind else "nothing"
        ended = row.error_code if row.status == "failed" else row.status
        if kind is None or ended != (code or "completed") or row.call_status != row.status:
            wrong.append(f"{row.upload_id} is {row.status} {row.error_code or ''}, expected {code or 'completed'}")
    kinds = {kind.name for kind in expected.values()}
    return judged(
        "every upload ended as its script says", wrong, f"{len(kinds)} kinds of recordings, each with its code"
    )


def bytes_are_the_sources(evidence: Evidence) -> Check:
    """Of what must be stored: read back, on the row and on the call, the hash is that of the provider's bytes."""
    rows = {row.upload_id: row for row in evidence.rows}
    wrong = []
    for upload_id, digest in evidence.sources.items():
        row = rows.get(upload_id, Row(upload_id, UUID(int=0), "missing", 0))
        stored = evidence.objects.get(row.object_key or "")
        if (stored, row.sha256, row.call_sha256) != (digest,) * 3:
            wrong.append(f"upload {upload_id}")
    return judged(
        "every object's SHA-256 is its source's", wrong, f"{len(evidence.sources)} read back; rows and calls agree"
    )


def objects_match_rows(evidence: Evidence) -> Check:
    """No object without a completed row, no completed row without its object; each under its own organisation."""
    keys = {row.object_key for row in evidence.rows if row.status == "completed"}
    wrong = [f"no row for {key}" for key in evidence.objects if key not in keys]
    for row in evidence.rows:
        key = row.object_key or ""
        if row.status == "completed" and (
            key not in evidence.objects or key != row.call_key or not key.startswith(f"{row.org_id}/")
        ):
            wrong.append(f"no object of its own for upload {row.upload_id}")
        if row.status != "completed" and (key or row.call_key):
            wrong.append(f"upload {row.upload_id} is {row.status} and has an object key")
    return judged("no object or row without the other", wrong, f"{len(keys)} of each")


def attempts_are_recorded(evidence: Evidence) -> Check:
    recorded, enqueued = Counter(attempt.upload_id for attempt in evidence.attempts), evidence.enqueued
    wrong = [
        f"upload {row.upload_id}: {row.attempt} attempts, {recorded[row.upload_id]} recorded"
        for row in evidence.rows
        if recorded[row.upload_id] != row.attempt
    ]
    wrong += [f"an attempt of unknown upload {upload_id}" for upload_id in recorded if upload_id not in enqueued]
    total = sum(row.attempt for row in evidence.rows)
    return judged("every attempt is on record", wrong, f"{total} attempts, {len(evidence.attempts)} rows of metrics")


def failures_are_open_where_failed(evidence: Evidence) -> Check:
    """A stored upload has no open failure; a failed one has one, given up, for an operator to find."""
    wrong = []
    for row in evidence.rows:
        given_up = evidence.open_failures.get(row.upload_id)
        if row.status == "completed" and given_up is not None:
            wrong.append(f"upload {row.upload_id} is stored, its failure is open")
        if row.status == "failed" and not given_up:
            wrong.append(f"upload {row.upload_id} failed, no failure is open")
    return judged("open failures: of failed uploads only", wrong, f"{len(evidence.open_failures)}, all given up")


def killed_workers_uploads_went_on(evidence: Evidence) -> Check:
    """What it was copying when it died is recorded as lost with it, and was stored by a later attempt."""
    name, killed = "the killed worker's uploads were taken over", evidence.killed
    if killed is None:
        return Check(name, ok=False, detail="no worker was killed: none held a slow upload when it was looked for")
    slow = {delivery.upload_id for delivery in evidence.deliveries if delivery.call.kind is SLOW}
    rows = {row.upload_id: row for row in evidence.rows}
    recorded = {(attempt.upload_id, attempt.attempt): attempt for attempt in evidence.attempts}
    wrong, proven = [], 0
    for held in (one for one in killed.held if one.upload_id in slow):
        attempt, row = recorded.get((held.upload_id, held.attempt)), rows.get(held.upload_id)
        is_lost = attempt is not None and (attempt.code, attempt.worker) == ("worker_lost", killed.worker)
        if is_lost and row is not None and row.status == "completed" and row.attempt > held.attempt:
            proven += 1
        else:
            wrong.append(f"upload {held.upload_id}")
    if not proven and not wrong:
        wrong.append("it held no slow upload")
    return judged(name, wrong, f"{process_name(killed.worker)}: {_transfers(proven)} lost, stored by a later attempt")


def refused_are_recovered(evidence: Evidence) -> Check:
    """What the provider refused was given up, then retried by an operator, on record, and stored."""
    stored = {row.upload_id for row in evidence.rows if row.status == "completed"}
    refused = {delivery.upload_id for delivery in evidence.deliveries if delivery.call.kind is FORBIDDEN}
    wrong = [f"upload {upload_id}" for upload_id in sorted(refused - (evidence.repaired & stored))]
    well = f"{len(refused)} retried, each on record, all stored" if refused else "so few calls show none"
    return judged("an operator's retry recovers a failed upload", wrong, well)


def _transfers(count: int) -> str:
    return "1 transfer" if count == 1 else f"{count} transfers"

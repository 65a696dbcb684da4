"""What must be true when a chaos run is over: the facts are gathered once, and judged one invariant at a time."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

import boto3
import psycopg

from tests.faults.monkey import TAKEOVER_LIMIT_S, Monkey
from tests.faults.plan import ALSO
from tests.faults.stage import Stage
from tests.faults.watch import Watch
from workers.demo import upload_checks
from workers.demo.check import Check, judged
from workers.demo.evidence import Attempt, Evidence, FlowerSight, Row
from workers.demo.gather import digest
from workers.demo.handler import Delivery

READERS = 8
_ROWS = """
SELECT q.id, q.org_id, q.status, q.attempt, q.error_code, q.object_key, q.size_bytes, q.sha256,
       extract(epoch FROM q.completed_at - q.created_at)::double precision,
       c.recording_status, c.recording_key, c.recording_sha256
FROM recording_upload_queue AS q LEFT JOIN call_logs AS c ON c.org_id = q.org_id AND c.id = q.call_id
"""
_ATTEMPTS = "SELECT upload_id, attempt, outcome, error_code, worker FROM recording_upload_metrics"
_OPEN = "SELECT upload_id, given_up_at IS NOT NULL FROM failed_recording_uploads WHERE resolved_at IS NULL"
_CONTRADICTED = """
SELECT f.upload_id FROM failed_recording_uploads AS f JOIN recording_upload_queue AS q ON q.id = f.upload_id
WHERE q.status = 'failed' AND f.resolved_at IS NOT NULL
"""
_STALE = "SELECT id FROM recording_upload_queue WHERE lease_expires_at IS NOT NULL OR dispatched_until IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Facts:
    evidence: Evidence
    contradicted: tuple[UUID, ...]
    still_marked: tuple[UUID, ...]
    unfinished_parts: int
    leaks: tuple[str, ...]


def gather(stage: Stage, deliveries: list[Delivery], took_s: float) -> Facts:
    """Every stored byte is read back, straight from the store."""
    with psycopg.connect(stage.admin_url, autocommit=True) as connection:
        rows = tuple(Row(*row) for row in connection.execute(_ROWS))
        attempts = tuple(Attempt(*row) for row in connection.execute(_ATTEMPTS))
        open_failures = {row[0]: bool(row[1]) for row in connection.execute(_OPEN)}
        contradicted = tuple(row[0] for row in connection.execute(_CONTRADICTED))
        still_marked = tuple(row[0] for row in connection.execute(_STALE))
    client = s3(stage.stack.environment("admin"))
    bucket = stage.stack.environment("admin")["RECORDINGS_BUCKET"]
    evidence = Evidence(
        names=(),
        org_ids=tuple(stage.org_ids),
        deliveries=tuple(deliveries),
        rows=rows,
        attempts=attempts,
        open_failures=open_failures,
        objects=dict(objects(client, bucket)),
        sources={one.upload_id: digest(one.call.recording) for one in deliveries if one.call.kind.code is None},
        counts={},
        sights=(),
        refusals=(),
        handed=(),
        flower=FlowerSight(0, ()),
        killed=None,
        repaired=frozenset(),
        took_s=took_s,
    )
    unfinished = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return Facts(evidence, contradicted, still_marked, len(unfinished), tuple(leaks(stage)))


def s3(settings: Mapping[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
        region_name=settings["AWS_DEFAULT_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )


def objects(client: Any, bucket: str) -> Iterator[tuple[str, str]]:
    """Every object with the hash of its bytes, by plain boto3: not by the code that stored them."""

    def hashed(key: str) -> tuple[str, str]:
        return key, sha256(client.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest()

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    with ThreadPoolExecutor(READERS) as readers:
        yield from readers.map(hashed, keys)


def leaks(stage: Stage) -> Iterator[str]:
    """Logs that name a recording's address (law 7)."""
    address = f"{stage.provider.url}/".encode()
    for log in stage.logs():
        if log.name.startswith(("worker", "dispatcher", "flower")) and address in log.read_bytes():
            yield log.name


def judge(facts: Facts, monkey: Monkey, watch: Watch) -> list[Check]:
    evidence = facts.evidence
    return [
        upload_checks.none_lost(evidence),
        upload_checks.none_doubled(evidence),
        same_answer(evidence),
        ends_as_allowed(evidence),
        upload_checks.bytes_are_the_sources(evidence),
        upload_checks.objects_match_rows(evidence),
        upload_checks.attempts_are_recorded(evidence),
        upload_checks.failures_are_open_where_failed(evidence),
        judged("no failure of a failed upload is resolved", map(str, facts.contradicted), "none"),
        judged("nothing settled holds a lease or a mark", map(str, facts.still_marked), "none"),
        judged("no log names a recording's address", facts.leaks, "none does"),
        within_cap(watch),
        taken_over(monkey),
    ]


def same_answer(evidence: Evidence) -> Check:
    """Said twice, or said again because the answer was lost: always the same upload."""
    ids: dict[str, set[UUID]] = {}
    for delivery in evidence.deliveries:
        ids.setdefault(delivery.call.recording_id, set()).add(delivery.upload_id)
    wrong = [recording_id for recording_id, found in ids.items() if len(found) != 1]
    return judged("a call said again is the same upload", wrong, f"{len(evidence.deliveries) - len(ids)} said again")


def ends_as_allowed(evidence: Evidence) -> Check:
    kinds = {delivery.upload_id: delivery.call.kind for delivery in evidence.deliveries}
    wrong = []
    for row in evidence.rows:
        kind = kinds.get(row.upload_id)
        allowed = {kind.code or "completed"} | ALSO.get(kind.name, frozenset()) if kind else set()
        ended = row.error_code or "" if row.status == "failed" else row.status
        if ended not in allowed or row.call_status != row.status:
            wrong.append(
                f"{row.upload_id} ({kind.name if kind else 'unknown'}) is {row.status} {row.error_code or ''}"
                f" after {row.attempt} attempts"
            )
    return judged("every upload ended as its script allows", wrong, f"{len(set(kinds.values()))} kinds of recordings")


def within_cap(watch: Watch) -> Check:
    wrong = [f"{breach.in_flight} at {breach.at_s:.1f} s" for breach in watch.breaches]
    return judged(
        "no upload dispatched past the cap of its organisation",
        wrong,
        f"{watch.most} in flight at most, cap {watch.cap}, {watch.looks} looks",
    )


def taken_over(monkey: Monkey) -> Check:
    wrong = [f"{took_s:.1f} s" for took_s in monkey.takeovers if took_s > TAKEOVER_LIMIT_S]
    most = max(monkey.takeovers, default=0.0)
    return judged(
        f"the next dispatcher led within {TAKEOVER_LIMIT_S:.0f} s",
        wrong,
        f"{len(monkey.takeovers)} measured, {most:.2f} s at most",
    )


def wrong_bytes(evidence: Evidence) -> int:
    """Objects whose hash is not that of their source."""
    sources = {row.object_key: evidence.sources.get(row.upload_id) for row in evidence.rows if row.object_key}
    return sum(sources.get(key) not in (None, found) for key, found in evidence.objects.items())


def outcomes(evidence: Evidence) -> Counter[str]:
    return Counter(attempt.code or attempt.outcome for attempt in evidence.attempts)

"""The evidence, from PostgreSQL, the bucket, Flower, and the provider's own account of what it serves."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg

from workers.demo.downloads import download_as_users
from workers.demo.evidence import TABLES, Attempt, Evidence, Row
from workers.demo.flower import look_at_flower
from workers.demo.handler import Delivery
from workers.demo.isolation import provoke, see_as_users, see_as_workers
from workers.demo.killing import Killed
from workers.demo.recordings import Recording
from workers.demo.script import Script
from workers.demo.stage import Stage

BUFFER = 1024 * 1024

_ROWS = """
SELECT q.id, q.org_id, q.status, q.attempt, q.error_code, q.object_key, q.size_bytes, q.sha256,
       extract(epoch FROM q.completed_at - q.created_at)::double precision,
       c.recording_status, c.recording_key, c.recording_sha256
FROM public.recording_upload_queue AS q LEFT JOIN public.call_logs AS c ON c.org_id = q.org_id AND c.id = q.call_id
"""
_ATTEMPTS = "SELECT upload_id, attempt, outcome, error_code, worker FROM public.recording_upload_metrics"
_OPEN = "SELECT upload_id, given_up_at IS NOT NULL FROM public.failed_recording_uploads WHERE resolved_at IS NULL"

_REPAIRED = """
SELECT f.upload_id FROM public.failed_recording_uploads AS f
WHERE f.error_code = 'source_forbidden' AND f.resolution = 'recovered'
  AND 1 = (SELECT count(*) FROM public.audit_log AS a
           WHERE a.subject_id = f.upload_id AND a.action = 'upload_retried' AND a.actor = 'recording_ops')
"""


def gather(
    stage: Stage,
    script: Script,
    org_ids: tuple[UUID, ...],
    deliveries: Sequence[Delivery],
    killed: Killed | None,
    took_s: float,
) -> Evidence:
    """Everything that is stored is read, a MiB at a time."""
    with psycopg.connect(stage.environment("admin")["DATABASE_URL"], autocommit=True) as connection:
        rows = tuple(Row(*row) for row in connection.execute(_ROWS))
        attempts = tuple(Attempt(*row) for row in connection.execute(_ATTEMPTS))
        open_failures = {row[0]: bool(row[1]) for row in connection.execute(_OPEN)}
        repaired = frozenset(row[0] for row in connection.execute(_REPAIRED))
        counts = {table: _count(connection, table) for table in TABLES}
    return Evidence(
        names=script.names,
        org_ids=org_ids,
        deliveries=tuple(deliveries),
        rows=rows,
        attempts=attempts,
        open_failures=open_failures,
        repaired=repaired,
        objects=dict(_objects(stage.environment("admin"))),
        sources=_sources(deliveries),
        counts=counts,
        sights=(*see_as_users(stage, org_ids), *see_as_workers(stage, org_ids)),
        refusals=tuple(provoke(stage, org_ids)),
        handed=tuple(download_as_users(stage, org_ids)),
        flower=look_at_flower(stage),
        killed=killed,
        took_s=took_s,
    )


def _count(connection: psycopg.Connection[Any], table: str) -> dict[UUID, int]:
    counted = connection.execute(f"SELECT org_id, count(*) FROM public.{table} GROUP BY org_id")
    return {UUID(str(org_id)): int(rows) for org_id, rows in counted}


def _sources(deliveries: Sequence[Delivery]) -> dict[UUID, str]:
    wanted = {delivery.upload_id: delivery.call for delivery in deliveries if delivery.call.kind.code is None}
    return {upload_id: digest(call.recording) for upload_id, call in wanted.items()}


def digest(recording: Recording) -> str:
    """SHA-256 of what the provider generates for this recording."""
    hashed = sha256()
    for block in recording.blocks():
        hashed.update(block)
    return hashed.hexdigest()


def _objects(settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every object of the bucket with the hash of its bytes. By plain boto3, not by the code that stored them."""
    import boto3  # noqa: PLC0415  half a second that the stack's start hides

    client = boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
        region_name=settings["AWS_DEFAULT_REGION"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )
    bucket = settings["RECORDINGS_BUCKET"]
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", ()):
            hashed = sha256()
            for chunk in client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].iter_chunks(BUFFER):
                hashed.update(chunk)
            yield entry["Key"], hashed.hexdigest()
    client.close()

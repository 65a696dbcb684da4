"""Copies each URL to the bucket, one after the other, and prints the seconds that it took. The first is copied once
beforehand, so that connections are open.

python -m bench.stream_one project|upload_fileobj URL...
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import boto3
import requests

from workers.copy import copy
from workers.pipeline import build_uploader
from workers.settings import WorkerSettings
from workers.sources import resolve
from workers.uploads import Upload


def project() -> Callable[[str], None]:
    worker = build_uploader(WorkerSettings.load(), worker="stream", slots=1)

    def carry_out(url: str) -> None:
        now = datetime.now(UTC)
        upload = Upload(uuid4(), uuid4(), uuid4(), "https", "c", "r", url, 1, 0, 5, now, now)
        store = worker.store.within(upload.org_id)
        request = resolve(upload, None)
        copy(upload, request, fetcher=worker.fetcher, store=store, limits=worker.limits, heartbeat=lambda: None)

    return carry_out


def upload_fileobj() -> Callable[[str], None]:
    client, session = boto3.client("s3"), requests.Session()

    def carry_out(url: str) -> None:
        with session.get(url, stream=True, timeout=60) as response:
            client.upload_fileobj(response.raw, os.environ["RECORDINGS_BUCKET"], f"recordings/{uuid4()}.wav")

    return carry_out


if __name__ == "__main__":
    carry_out = {"project": project, "upload_fileobj": upload_fileobj}[sys.argv[1]]()
    carry_out(sys.argv[2])
    began = time.monotonic()
    for one in sys.argv[2:]:
        carry_out(one)
    print(time.monotonic() - began)

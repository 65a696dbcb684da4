"""Copies each URL and prints the process's peak memory after each, in KB: for a test that needs a fresh process."""

import json
import resource
import sys
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import uuid4

from workers.copy import Limits, copy
from workers.sources import Fetcher, resolve
from workers.store import Store
from workers.uploads import Upload


def main(endpoint_url: str, bucket: str, *urls: str) -> None:
    peaks = []
    with Store(bucket=bucket, endpoint_url=endpoint_url) as store, Fetcher([ip_network("127.0.0.0/8")]) as fetcher:
        for url in urls:
            now = datetime.now(UTC)
            upload = Upload(uuid4(), uuid4(), uuid4(), "https", "call-1", "r-1", url, 1, 0, 5, now, now)
            limits, request = Limits(max_bytes=1 << 30, deadline_s=60), resolve(upload, None)
            copy(upload, request, fetcher=fetcher, store=store, limits=limits, heartbeat=lambda: None)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(json.dumps(peaks))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])

"""An outage of the store on the real stack, with rows due all the while, and what is left of it afterwards.

By hand, with numbers:  python -m tests.faults.outage --rows 500 --seconds 60
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psycopg

from tests.faults.proxy import FaultProxy
from tests.faults.stage import Stage, stage
from tests.waiting import until
from workers.crew import read_crew
from workers.demo.recordings import Recording
from workers.enqueue import enqueue

#: By name: what the store does, and the code that it gets.
OUTAGES: Mapping[str, tuple[Callable[[FaultProxy], None], str]] = {
    "slow_down": (lambda proxy: proxy.refuse(503, "SlowDown"), "store_throttled"),
    "internal_error": (lambda proxy: proxy.refuse(500, "InternalError"), "store_unavailable"),
    "gone": (lambda proxy: proxy.cut(), "store_unavailable"),
    "silent": (lambda proxy: proxy.stall(), "store_unavailable"),
    "access_denied": (lambda proxy: proxy.refuse(403, "AccessDenied"), "store_denied"),
    "no_bucket": (lambda proxy: proxy.refuse(404, "NoSuchBucket"), "store_denied"),
}
SIZE = 20_000
_ROWS = """
SELECT count(*), count(*) FILTER (WHERE status = 'completed'), coalesce(sum(attempt), 0), coalesce(sum(failures), 0)
FROM recording_upload_queue WHERE org_id = %s
"""
_METRICS = "SELECT outcome, error_code, count(*) FROM recording_upload_metrics WHERE org_id = %s GROUP BY 1, 2"
_OPEN = "SELECT count(*) FROM failed_recording_uploads WHERE org_id = %s AND resolved_at IS NULL"
_DUE = "SELECT count(*) FROM failed_recording_uploads WHERE org_id = %s AND next_retry_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """``tried_meanwhile``: attempts that the outage cost, for nothing. ``resumed_s``: from the store's return to the
    first that is stored, ``all_s`` to the last."""

    rows: int
    completed: int
    attempts: int
    failures: int
    metrics: dict[str, int]
    open_failures: int
    open_meanwhile: int
    tried_meanwhile: int
    said: tuple[str, ...]
    objects: int
    resumed_s: float
    all_s: float


class Outage:
    """One organisation's rows come due while the store is away for ``for_s``."""

    def __init__(self, here: Stage, name: str, *, rows: int, for_s: float) -> None:
        self.here, self.rows, self.for_s = here, rows, for_s
        self.begin, self.code = OUTAGES[name]

    def carry_out(self, *, settle_within_s: float) -> Aftermath:
        with psycopg.connect(self.here.admin_url, autocommit=True) as self.admin:
            self.org = self._one("INSERT INTO organizations (name) VALUES ('Outage') RETURNING id")[0]
            return self._carry_out(settle_within_s)

    def _carry_out(self, settle_within_s: float) -> Aftermath:
        self.begin(self.here.proxy)
        self._enqueue()
        ends_at = time.monotonic() + self.for_s
        said = until(self._said, timeout_s=max(30.0, self.for_s))
        until(lambda: time.monotonic() >= ends_at, timeout_s=self.for_s + 1)
        tried, meanwhile = self._one(_ROWS, self.org)[2], self._one(_DUE, self.org)[0]
        healed = time.monotonic()
        self.here.proxy.heal()
        until(lambda: self._completed() > 0, timeout_s=settle_within_s)
        resumed_s = time.monotonic() - healed
        until(lambda: self._completed() == self.rows, timeout_s=settle_within_s, every_s=0.1)
        all_s = time.monotonic() - healed
        rows, completed, attempts, failures = self._one(_ROWS, self.org)
        metrics = {
            f"{outcome} {code or ''}".strip(): n for outcome, code, n in self.admin.execute(_METRICS, (self.org,))
        }
        return Aftermath(
            rows=rows,
            completed=completed,
            attempts=attempts,
            failures=failures,
            metrics=metrics,
            open_failures=self._one(_OPEN, self.org)[0],
            open_meanwhile=meanwhile,
            tried_meanwhile=tried,
            said=said,
            objects=len(keys_of(self.here, f"{self.org}/")),
            resumed_s=round(resumed_s, 1),
            all_s=round(all_s, 1),
        )

    def _said(self) -> tuple[str, ...]:
        """What status says, once a worker has said that it is paused."""
        with psycopg.connect(self.here.stack.environment("ops")["DATABASE_URL"]) as ops:
            crew = read_crew(ops)
        return tuple(worker.remark for worker in crew if worker.paused_code == self.code)

    def _completed(self) -> int:
        self.here.stack.tend()
        return int(self._one(_ROWS, self.org)[1])

    def _enqueue(self) -> None:
        with psycopg.connect(self.here.stack.environment("call_handler")["DATABASE_URL"]) as connection:
            for number in range(self.rows):
                url = self.here.provider.add(f"/{uuid4().hex}.wav", Recording(seed=number, size=SIZE))
                enqueue(connection, org_id=self.org, provider="https", provider_call_id=uuid4().hex, source_url=url)

    def _one(self, query: str, *parameters: object) -> Any:
        return self.admin.execute(query, parameters).fetchone()


def keys_of(here: Stage, prefix: str) -> list[str]:
    """Straight from the store, not through the proxy."""
    settings = here.stack.environment("admin")
    with closing(
        boto3.client(
            "s3",
            endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_DEFAULT_REGION"],
        )
    ) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=settings["RECORDINGS_BUCKET"], Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=OUTAGES, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder) / "state", workers=2, concurrency=8) as here:
        for name in options.only or OUTAGES:
            aftermath = Outage(here, name, rows=options.rows, for_s=options.seconds).carry_out(settle_within_s=120)
            print(name, *(f"  {key}: {value}" for key, value in asdict(aftermath).items()), sep="\n", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

"""The whole system, as ``recordings up`` starts it, for the tests of this folder."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.waiting import until
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.store import Store

TUNING = {
    "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
    "RECORDINGS_LEASE_S": "3",
    "RECORDINGS_DOORBELL_EXPIRES_S": "3",
    "RECORDINGS_RETRY_BASE_S": "0.2",
    "RECORDINGS_RETRY_CAP_S": "1",
    "RECORDINGS_DRAIN_S": "1",
    "RECORDINGS_MAX_BYTES": "50000000",
    # Objects cannot be made old. Only what is asked for is swept: no organisation here gets a day old.
    "RECORDINGS_SWEEP_GRACE_S": "0",
    "RECORDINGS_DOWNLOAD_LIFETIME_S": "4",
    "RECORDINGS_EXPORT_LIFETIME_S": "8",
}


def recordings(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@dataclass
class RunningStack:
    """A started stack, and a provider beside it."""

    state: Path
    roles: dict[str, dict[str, str]]
    provider: Provider
    admin: psycopg.Connection[Any] = field(repr=False)

    def organisation(self) -> UUID:
        row = self.admin.execute("INSERT INTO organizations (name) VALUES ('Clinic') RETURNING id").fetchone()
        assert row is not None
        made: UUID = row[0]
        return made

    def enqueue(self, org_id: UUID, source_url: str, provider: str = "https") -> UUID:
        """By the SQL function, with the call handler's login."""
        with psycopg.connect(self.roles["call_handler"]["DATABASE_URL"]) as connection:
            row = connection.execute(
                "SELECT upload_id FROM enqueue_recording(%s, %s, %s, %s)", (org_id, provider, uuid4().hex, source_url)
            ).fetchone()
        assert row is not None
        upload_id: UUID = row[0]
        return upload_id

    def recording(self, size: int, *behaviours: Any) -> tuple[str, Recording]:
        """A new recording at the provider, and its URL."""
        made = Recording(seed=uuid4().int >> 96, size=size)
        return self.provider.add(f"/{uuid4().hex}.wav", made, *behaviours), made

    def row(self, upload_id: UUID) -> dict[str, Any]:
        with self.admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            cursor.execute("SELECT * FROM recording_upload_queue WHERE id = %s", (upload_id,))
            row = cursor.fetchone()
        assert row is not None
        return row

    def settled(self, upload_id: UUID, timeout_s: float = 60.0) -> dict[str, Any]:
        until(lambda: self.row(upload_id)["status"] in {"completed", "failed"}, timeout_s=timeout_s)
        return self.row(upload_id)

    def all_settled(self, org_id: UUID, timeout_s: float = 60.0) -> dict[str, int]:
        """How many ended how, once every row of the organisation has."""

        def counts() -> dict[str, int]:
            query = "SELECT status, count(*) FROM recording_upload_queue WHERE org_id = %s GROUP BY status"
            return dict(self.admin.execute(query, (org_id,)).fetchall())

        until(lambda: not {"pending", "processing"} & counts().keys(), timeout_s=timeout_s)
        return counts()

    def store(self) -> Store:
        settings = self.roles["admin"]
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ[name] = settings[name]
        return Store(
            bucket=settings["RECORDINGS_BUCKET"],
            endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
            region=settings["AWS_DEFAULT_REGION"],
        )

    def pid(self, process: str) -> int:
        found = json.loads((self.state / "state.json").read_text())["processes"][process]
        return int(found["pid"])

    def logs(self) -> str:
        return "\n".join(file.read_text() for file in (self.state / "logs").glob("*.log"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Two workers of four threads, quick leases."""
    state = tmp_path_factory.mktemp("stack") / "state"
    options = ("--state", str(state))
    started = recordings("up", *options, "--workers", "2", "--concurrency", "4", "--detach", **TUNING)
    assert started.returncode == 0, started.stderr
    try:
        roles = json.loads(recordings("env", *options, "--json").stdout)
        with Provider() as provider, psycopg.connect(roles["admin"]["DATABASE_URL"], autocommit=True) as admin:
            yield RunningStack(state, roles, provider, admin)
    finally:
        stopped = recordings("down", *options)
        assert stopped.returncode == 0, stopped.stderr

"""A real object store of the tests' own, and what they ask of it."""

from dataclasses import dataclass, replace

import pytest

from tests.waiting import until
from workers.embedded.bucket import Access
from workers.embedded.process import Process
from workers.embedded.ready import wait_ready
from workers.embedded.seaweedfs import SeaweedFS
from workers.payload import Payload
from workers.store import Store

MIB = 1024 * 1024


@dataclass
class S3Server:
    """SeaweedFS with a bucket; ``access`` is a worker's."""

    seaweedfs: SeaweedFS
    access: Access
    process: Process

    def restart(self) -> None:
        self.process.stop()
        self.process = wait_ready([self.seaweedfs])["seaweedfs"]

    def store(self, *, users_endpoint_url: str | None = None, **changes: str) -> Store:
        """A store of this server, as this worker or another."""
        access = replace(self.access, **changes)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", access.access_key_id)
            patch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_access_key)
            return Store(
                bucket=access.bucket,
                endpoint_url=access.endpoint_url,
                region=access.region,
                users_endpoint_url=users_endpoint_url,
            )


def gone(store: Store, key: str) -> bool:
    """Nothing under this key, and nothing arriving late either."""
    until(lambda: store.head(key) is None, timeout_s=2.0)
    return store.head(key) is None


def payload(data: bytes, *, step: int = 300_000, knows_length: bool = True) -> Payload:
    views = (memoryview(data)[start : start + step] for start in range(0, len(data), step))
    return Payload(views, length=len(data) if knows_length else None)

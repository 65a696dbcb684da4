"""A real object store, and a provider that misbehaves when told to."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from secrets import token_hex
from uuid import uuid4

import pytest

from tests.pipeline.s3_server import S3Server
from workers.demo.provider import Provider
from workers.embedded import ports
from workers.embedded.bucket import Access
from workers.embedded.ready import wait_ready
from workers.embedded.seaweedfs import PORTS, SeaweedFS
from workers.sources import Fetcher
from workers.store import Store
from workers.uploads import Upload

LOOPBACK = ip_network("127.0.0.0/8")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    directory: Path = tmp_path_factory.mktemp("s3")
    chosen = dict(zip(PORTS, ports.pick(len(PORTS)), strict=True))
    endpoint = f"http://127.0.0.1:{chosen['s3.port']}"
    admin, worker = (Access(endpoint, who, token_hex(16)) for who in ("admin", "worker"))
    seaweedfs = SeaweedFS(directory, ports=chosen, admin=admin, worker=worker, log=directory / "weed.log")
    server = S3Server(seaweedfs, worker, wait_ready([seaweedfs])["seaweedfs"])
    yield server
    server.process.stop()
    seaweedfs.remove_sockets()


@pytest.fixture(scope="session")
def store(s3_server: S3Server) -> Iterator[Store]:
    store = s3_server.store()
    yield store
    store.close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    """Loopback is allowed."""
    with Fetcher([LOOPBACK], connect_timeout_s=10.0, read_timeout_s=20.0) as fetcher:
        yield fetcher


@pytest.fixture
def impatient() -> Iterator[Fetcher]:
    """For silence alone: on a busy machine anybody may take half a second."""
    with Fetcher([LOOPBACK], connect_timeout_s=0.3, read_timeout_s=0.5) as fetcher:
        yield fetcher


@pytest.fixture
def upload() -> Callable[..., Upload]:
    def build(url: str, provider: str = "https") -> Upload:
        now = datetime.now(UTC)
        return Upload(uuid4(), uuid4(), uuid4(), provider, "call-1", "recording-1", url, 1, 0, 5, now, now)

    return build


@pytest.fixture
def key() -> str:
    return f"tests/{uuid4()}.wav"

"""What every peer stands on: PostgreSQL, Valkey, S3, the source, the sinks. Started once, and swept before each run."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import redis

from bench.servers.place import Place, place
from workers.embedded.environment import redis_url
from workers.embedded.servers import BUCKET, Servers, access
from workers.embedded.stack import Stack
from workers.embedded.state import remove

#: As a server of its own would be set; for everybody. The commit's own time is what latencies are measured by.
_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "track_commit_timestamp": "on"}
ORGANISATIONS = 8


@dataclass(slots=True)
class Ground:
    """``sink`` names: s3 (embedded), null, null50."""

    folder: Path
    stack: Stack
    place: Place
    org_ids: tuple[UUID, ...] = ()
    database: str = "recordings"

    def on(self, database: str, org_ids: tuple[UUID, ...]) -> "Ground":
        """The same, with another database of ours."""
        return replace(self, database=database, org_ids=org_ids)

    def admin(self, database: str | None = None) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database_url(database or self.database), autocommit=True)

    def environment(self, role: str) -> dict[str, str]:
        """A process's settings by its role, on this database."""
        settings = self.stack.environment(role)
        return settings | {"DATABASE_URL": settings["DATABASE_URL"].removesuffix("recordings") + self.database}

    def database_url(self, database: str, login: str = "postgres") -> str:
        """The administrator's, or a login's of ours."""
        secret = self.stack.state.secrets[login]
        return f"postgresql://{login}:{secret}@127.0.0.1:{self.stack.state.ports['postgres']}/{database}"

    @property
    def broker_url(self) -> str:
        """A database of the broker for the peers, beside ours."""
        return redis_url(self.stack.state).removesuffix("/0") + "/1"

    def s3(self, sink: str) -> dict[str, str]:
        """The environment of an S3 client."""
        held = access(self.stack.state, "worker")
        return {
            "AWS_ACCESS_KEY_ID": held.access_key_id,
            "AWS_SECRET_ACCESS_KEY": held.secret_access_key,
            "AWS_DEFAULT_REGION": held.region,
            "AWS_ENDPOINT_URL_S3": held.endpoint_url if sink == "s3" else self.place.sinks[sink].url,
            "RECORDINGS_BUCKET": BUCKET,
        }

    def new_database(self, name: str, *, template: str = "template1") -> None:
        """In the place of one of this name. Nobody may be connected to the template."""
        self.drop_database(name)
        with self.admin("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    def drop_database(self, name: str) -> None:
        with self.admin("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def sweep(self, sink: str) -> None:
        """Nobody finds what another left: an empty broker, empty tables, and where it is used, an empty store."""
        with redis.Redis.from_url(redis_url(self.stack.state)) as broker:
            broker.flushall()
        with self.admin("recordings") as connection:
            connection.execute("TRUNCATE public.call_logs CASCADE")
            connection.execute("CHECKPOINT")
        if sink == "s3":
            self._new_store()

    def _new_store(self) -> None:
        servers = self.stack.servers
        servers.processes["seaweedfs"].kill()
        shutil.rmtree(self.place.memory / "store", ignore_errors=True)
        (self.place.memory / "store").mkdir(mode=0o700)
        servers.restart("seaweedfs")


@contextmanager
def ground() -> Iterator[Ground]:
    """All of it in a temporary folder that is gone afterwards. From the main thread only."""
    folder = Path(tempfile.mkdtemp(prefix="recordings-bench-"))
    try:
        stack = Stack(folder / "state")
        with place(folder) as here, _in_memory(stack, here.memory) as servers:
            _configure(stack, servers.admin_url)
            stack.prepare_database(servers.admin_url)
            made = Ground(folder, stack, here)
            with made.admin() as connection:
                made.org_ids = organisations(connection, ORGANISATIONS)
            yield made
    finally:
        remove_quietly(folder)


@contextmanager
def _in_memory(stack: Stack, memory: Path) -> Iterator[Servers]:
    """The store writes to memory, since no peer is to wait for a disk that others use; PostgreSQL keeps its disk."""
    (memory / "store").mkdir(mode=0o700)
    (stack.servers.directory / "seaweedfs").symlink_to(memory / "store")
    with stack.servers as servers:
        yield servers


def _configure(stack: Stack, admin_url: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        for name, value in _SETTINGS.items():
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    stack.servers.processes["postgres"].stop()
    stack.servers.restart("postgres")


def organisations(connection: psycopg.Connection[Any], count: int) -> tuple[UUID, ...]:
    statement = "INSERT INTO public.organizations (name) SELECT 'o' || n FROM generate_series(1, %s) AS n RETURNING id"
    return tuple(row[0] for row in connection.execute(statement, (count,)))


def remove_quietly(folder: Path) -> None:
    if (folder / "state").exists():
        remove(folder / "state")
    shutil.rmtree(folder, ignore_errors=True)

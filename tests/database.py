"""A migrated database on a real PostgreSQL, with every login, as a deployment has it."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from schema import grant_keys, roles
from schema.migrate import migrate
from workers.embedded.postgres import Postgres
from workers.enqueue import Enqueued, enqueue
from workers.grants import GrantKey, mint


@dataclass(frozen=True)
class Database:
    """One database of a cluster. Logins have passwords; ``key`` is installed."""

    postgres: Postgres
    name: str
    passwords: Mapping[str, str] = field(repr=False)
    key: GrantKey

    admin: str = "postgres"

    @classmethod
    def prepare(cls, postgres: Postgres) -> "Database":
        """Migrate the cluster's own database and give every login a password."""
        return cls.prepare_as(postgres, "postgres", postgres.password, postgres.database)

    @classmethod
    def prepare_as(cls, postgres: Postgres, admin: str, password: str, name: str) -> "Database":
        """The same, by an administrator of the caller's choosing, who need not be superuser."""
        passwords = {login: secrets.token_urlsafe(12) for login in roles.LOGINS} | {admin: password}
        key = GrantKey.generate()
        database = cls(postgres, name, passwords, key, admin)
        migrate(database.url())
        roles.set_passwords(database.url(), {login: passwords[login] for login in roles.LOGINS})
        grant_keys.install(database.url(), key.kid, key.secret)
        return database

    def copy(self) -> "Database":
        """A database of its own, as this one is now. Nobody may be connected to this one."""
        name = f"t_{uuid4().hex[:12]}"
        with psycopg.connect(self.postgres.url(database="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {self.name} STRATEGY file_copy")
        return replace(self, name=name)

    def drop(self) -> None:
        with psycopg.connect(self.postgres.url(database="postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def url(self, login: str = "") -> str:
        """The administrator's, unless another login is named."""
        login = login or self.admin
        return self.postgres.url(user=login, password=self.passwords[login], database=self.name)

    def connect(self, login: str = "") -> psycopg.Connection[Any]:
        """A connection that commits each statement."""
        return psycopg.connect(self.url(login), autocommit=True)

    def engine(self, login: str, **options: Any) -> Engine:
        return create_engine(self.url(login), **({"poolclass": NullPool} | options))

    def grant(self, org_id: UUID, *, lifetime_s: float = 600.0) -> str:
        return mint(self.key, org_id=org_id, subject=uuid4(), now_s=time.time(), lifetime_s=lifetime_s)

    def organisation(self, name: str = "Clinic") -> UUID:
        with self.connect() as connection:
            row = connection.execute("INSERT INTO organizations (name) VALUES (%s) RETURNING id", (name,)).fetchone()
        assert row is not None
        found: UUID = row[0]
        return found

    def enqueue(self, org_id: UUID, **more: Any) -> Enqueued:
        """One recording, as the call handler."""
        call = {"provider": "https", "provider_call_id": uuid4().hex, "source_url": "https://provider.example/r.wav"}
        with self.connect("call_handler") as connection:
            return enqueue(connection, org_id=org_id, **(call | more))

    def one(self, query: str, *parameters: Any) -> Any:
        """The single value or row of a query, as administrator."""
        with self.connect() as connection:
            row = connection.execute(query, parameters).fetchone()
        return row[0] if row is not None and len(row) == 1 else row

    def all(self, query: str, *parameters: Any) -> list[Any]:
        """Its rows, as administrator."""
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def run(self, statement: str, *parameters: Any) -> int:
        """How many rows a statement changed, as administrator."""
        with self.connect() as connection:
            return connection.execute(statement, parameters).rowcount

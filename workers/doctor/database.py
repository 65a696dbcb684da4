"""PostgreSQL: reached how, in which version of the schema, and with nothing open that must be shut."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from schema import lints, migrate
from workers.doctor import network
from workers.doctor.result import Result, ok, unseen, warning, wrong
from workers.settings import DatabaseSettings

CONNECT_S = 3
STATEMENT = "-c statement_timeout=8s"
_SEE = "look with the administrator's DATABASE_URL"


def connect(dsn: str, **more: Any) -> psycopg.Connection[Any]:
    """Each statement commits by itself, and none lasts."""
    return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S, options=STATEMENT, **more)


def plain(url: str) -> str:
    """For libpq, which knows no driver suffix."""
    return DatabaseSettings(DATABASE_URL=url).dsn  # type: ignore[call-arg]


def ask(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> list[Any] | None:
    """The rows; None where this login may not see them, or they are not there."""
    try:
        return connection.execute(query, parameters or None).fetchall()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None


def check(connection: psycopg.Connection[Any], dsn: str) -> Iterator[Result]:
    """What needs no other login."""
    info = connection.info
    major, minor = divmod(info.server_version, 10_000)
    yield ok("database.reached", f"PostgreSQL {major}.{minor} answers as {info.user}")
    yield _encrypted(connection, dsn)
    version = _version(connection)
    yield judge_version(version, migrate.head())
    if version is None:
        yield unseen("database.isolation", "not checked: there is no schema of ours")
    else:
        yield from judge_lints(lints.findings(connection))


def _encrypted(connection: psycopg.Connection[Any], dsn: str) -> Result:
    mode = conninfo_to_dict(dsn).get("sslmode", "prefer")
    return network.encryption(
        "database.encrypted",
        network.place(connection.info.host or urlsplit(dsn).hostname or "localhost"),
        is_encrypted=bool(connection.pgconn.ssl_in_use),
        is_verified=mode == "verify-full",
        remedy="add ?sslmode=verify-full&sslrootcert=FILE to DATABASE_URL, for every process",
    )


def _version(connection: psycopg.Connection[Any]) -> str | None:
    """None if there is no schema of ours; an empty text if it may not be read."""
    found = ask(connection, "SELECT pg_catalog.to_regnamespace('app') IS NULL")
    if found == [(True,)]:
        return None
    rows = ask(connection, "SELECT version_num FROM app.alembic_version")
    return "" if rows is None else str(rows[0][0])


def judge_version(found: str | None, head: str) -> Result:
    if found is None:
        return wrong("database.migrations", "the database has no schema of ours", "run: recordings migrate")
    if not found:
        return unseen("database.migrations", "not checked: this login may not read the schema's version", _SEE)
    if found == head:
        return ok("database.migrations", f"the schema is at {head}, the newest that this release knows")
    if found > head:
        return warning(
            "database.migrations",
            f"the schema is at {found}, newer than this release ({head})",
            "run the release that made it",
        )
    return wrong(
        "database.migrations", f"the schema is at {found}, and the newest is {head}", "run: recordings migrate"
    )


def judge_lints(findings: tuple[lints.Finding, ...]) -> Iterator[Result]:
    """Row-level security on and forced, no login that escapes it, no grant too many, no known hole of the server's."""
    for finding in findings:
        judge = wrong if finding.level == "error" else warning
        yield judge(f"database.{finding.code}", finding.sentence, finding.remedy)
    if not any(finding.level == "error" for finding in findings):
        yield ok("database.isolation", "row-level security is on and forced, and no login of ours escapes it")

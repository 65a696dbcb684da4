"""Real servers for every test. What a test changes for others, it changes in a database of its own."""

from collections.abc import Iterator

import pytest

from tests.database import Database
from workers.embedded.postgres import Postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The embedded PostgreSQL, for the whole session."""
    with Postgres.temporary(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Database:
    """A migrated database that nobody writes to."""
    return Database.prepare(postgres)


@pytest.fixture(scope="module")
def shared(template: Database) -> Iterator[Database]:
    """A database for the tests of one file: each makes organisations of its own."""
    database = template.copy()
    yield database
    database.drop()


@pytest.fixture
def database(template: Database) -> Iterator[Database]:
    """A database for one test, for those that look at everything in it."""
    copied = template.copy()
    yield copied
    copied.drop()

"""Real servers for every test. What a test changes for others, it changes in a database of its own."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import lanes
from tests.database import Database
from tests.pgbouncer import PgBouncer, Pooled, documented
from workers.embedded import ports
from workers.embedded.postgres import Postgres

HERE = Path(__file__).parent
# How long an example takes says how busy the machine is.
settings.register_profile("recordings", deadline=None)
settings.load_profile("recordings")
#: Asked of the catalog, which is the same behind a pooler.
_OF_THE_CATALOG = {"test_lints.py", "test_mutants.py", "test_operators.py"}
#: Run a second time with every login behind PgBouncer: what isolation is made of, and what workers and operators run.
POOLED = (
    *(
        file
        for file in (HERE / "isolation").glob("test_*.py")
        if file.name not in {"test_pooling.py"} | _OF_THE_CATALOG
    ),
    *(HERE / "queue" / f"test_{name}.py" for name in ("claim", "settle", "operators")),
    HERE / "commands" / "test_failures.py",
)
#: What they ask cannot be asked of a pooler, which goes on with another server connection where one was cut.
DIRECT_ONLY = {
    "test_a_connection_that_was_cut_is_replaced",
    "test_a_database_that_goes_away_midway_leaves_a_number_and_a_safe_way_on",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return lanes.processes()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> lanes.TwoEnds | None:
    return lanes.TwoEnds(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if HERE / "stack" in item.path.parents:
            item.add_marker("stack")
    if hasattr(config, "workerinput"):
        items[:] = lanes.in_order(items)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before anything is started, for children inherit how nice it is."""
    if worker := getattr(session.config, "workerinput", None):
        place = worker["workerid"], worker["workercount"]
        ports.RANGE = lanes.own_ports(ports.RANGE, *place)
        if not lanes.is_front(*place):
            os.nice(lanes.NICE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    asked = metafunc.definition
    if "shared" in metafunc.fixturenames and asked.path in POOLED and asked.name not in DIRECT_ONLY:
        metafunc.parametrize("shared", ["direct", "pooled"], indirect=True, scope="module")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What a test, or a command that it runs, makes of logging ends with it: any other file may come next here."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The embedded PostgreSQL, for the whole session."""
    with Postgres.temporary(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Database:
    """A migrated database that nobody writes to."""
    return Database.prepare(postgres)


@pytest.fixture(scope="session")
def pgbouncer(template: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """As docs/deployment.md sets it, before the embedded PostgreSQL; with few server connections, so that they are
    shared."""
    settings = documented() | {"default_pool_size": "3"}
    with PgBouncer.before(template, tmp_path_factory.mktemp("pgbouncer"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, template: Database) -> Iterator[Database]:
    """A database for the tests of one file: each makes organisations of its own."""
    database = template.copy()
    if getattr(request, "param", "direct") == "pooled":
        database = Pooled.of(database, request.getfixturevalue("pgbouncer"))
    yield database
    database.drop()


@pytest.fixture
def database(template: Database) -> Iterator[Database]:
    """A database for one test, for those that look at everything in it."""
    copied = template.copy()
    yield copied
    copied.drop()

"""An organisation of its own for each test, in a database that the file shares."""

from collections.abc import Iterator

import pytest

from tests.database import Database
from tests.desk import Desk


@pytest.fixture
def desk(shared: Database) -> Iterator[Desk]:
    opened = Desk.open(shared)
    yield opened
    opened.close()

"""One set of servers for the tests that only look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.embedded.servers import Servers


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("embedded") / "state") as running:
        yield running


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"

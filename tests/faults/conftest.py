"""A whole system of one worker and two dispatchers, for the tests that break one thing at a time."""

from collections.abc import Iterator

import pytest

from tests.faults.stage import Stage, stage


@pytest.fixture(scope="module")
def small_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Few slots and many doorbells: most of them wait in the broker."""
    folder = tmp_path_factory.mktemp("faults") / "state"
    more = {"RECORDINGS_MAX_IN_FLIGHT": "20", "RECORDINGS_DISPATCH_WINDOW": "60"}
    with stage(folder, workers=1, concurrency=4, organisations=4, **more) as started:
        yield started

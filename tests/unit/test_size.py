"""How many workers `recordings up` starts, and what is in flight for them."""

import pytest

from workers.embedded.size import default_workers, in_flight, workers_for


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (2, 2), (4, 2), (6, 3), (16, 8), (128, 8)])
def test_half_of_the_cores_and_never_one_alone(cores: int, workers: int) -> None:
    assert workers_for(cores) == workers


def test_this_machine_has_a_number_too() -> None:
    assert 2 <= default_workers() <= 8


@pytest.mark.parametrize(
    ("slots", "window", "share"), [(8, 128, 32), (16, 256, 64), (64, 1024, 256), (2048, 10_000, 8192)]
)
def test_more_threads_have_more_rows_in_flight_and_four_organisations_share_them(
    slots: int, window: int, share: int
) -> None:
    assert in_flight(slots) == (window, share)

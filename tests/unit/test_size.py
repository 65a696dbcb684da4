"""How many workers `recordings up` starts."""

import pytest

from workers.embedded.size import default_workers, workers_for


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (2, 2), (4, 2), (6, 3), (16, 8), (128, 8)])
def test_half_of_the_cores_and_never_one_alone(cores: int, workers: int) -> None:
    assert workers_for(cores) == workers


def test_this_machine_has_a_number_too() -> None:
    assert 2 <= default_workers() <= 8

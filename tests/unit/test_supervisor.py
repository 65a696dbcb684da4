"""What a signal does to a stack that starts."""

import signal
from unittest.mock import Mock

import pytest

from workers.demo.interruption import Interruption
from workers.embedded.supervisor import Ending


def test_a_signal_whose_exception_python_throws_away_ends_the_stack_as_soon_as_it_has_started() -> None:
    """It does so with one that comes while a destructor or the callback of a weak reference is at work."""
    ending = Ending(Mock())
    with pytest.raises(KeyboardInterrupt):
        ending(signal.SIGTERM, None)
    assert ending.asked.is_set()


def test_a_demo_is_interrupted_by_the_next_signal_where_the_first_was_thrown_away() -> None:
    interruption = Interruption()
    with pytest.raises(KeyboardInterrupt), interruption.armed():
        with pytest.raises(KeyboardInterrupt):
            interruption(signal.SIGINT, None)
        interruption(signal.SIGINT, None)


def test_a_signal_after_the_first_one_was_heard_hurries_the_end() -> None:
    interruption = Interruption()
    hurried: list[bool] = []
    interruption.hurry = lambda: hurried.append(True)
    with pytest.raises(KeyboardInterrupt), interruption.armed():
        interruption(signal.SIGINT, None)
    interruption(signal.SIGINT, None)
    assert hurried == [True]

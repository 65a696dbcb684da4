"""Shutting down: nothing new, and an end to what is held."""

from workers.drain import Drain


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_before_it_begins_nothing_ends() -> None:
    clock = Clock()
    drain = Drain(20, clock)
    clock.now += 1000
    assert (drain.begun, drain.over) == (False, False)


def test_what_is_held_may_finish_within_the_patience() -> None:
    clock = Clock()
    drain = Drain(20, clock)
    drain.begin()
    assert (drain.begun, drain.over) == (True, False)
    clock.now += 19
    assert not drain.over
    clock.now += 1
    assert drain.over


def test_beginning_again_does_not_prolong_it() -> None:
    clock = Clock()
    drain = Drain(20, clock)
    drain.begin()
    clock.now += 15
    drain.begin()
    clock.now += 5
    assert drain.over


def test_without_patience_it_is_over_at_once() -> None:
    drain = Drain(0, Clock())
    drain.begin()
    assert drain.over

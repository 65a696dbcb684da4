"""Whether a worker is deaf, as it can tell from the inside."""

import threading
from collections.abc import Iterator
from itertools import repeat

import pytest

from tests.waiting import until
from workers import liveness
from workers.liveness import Ear, Sample, Watch

BUSY, EMPTY, DEAF = Sample(5, False, 7), Sample(0, True, 7), Sample(5, True, 7)


def silence(samples: list[Sample], *, every_s: float = 1.0) -> float:
    ear = Ear()
    return [ear.look(sample, 100 + number * every_s) for number, sample in enumerate(samples)][-1]


def test_messages_wait_slots_are_free_and_nothing_comes_in_that_is_deaf() -> None:
    assert silence([EMPTY, *[DEAF] * 10]) == 10


def test_an_empty_queue_busy_slots_or_a_message_that_comes_in_are_not() -> None:
    for reassuring in (BUSY, EMPTY, Sample(5, True, 8)):
        assert silence([DEAF] * 10 + [reassuring]) == 0
    assert silence([Sample(5, True, heard) for heard in range(20)]) == 0


def test_a_process_that_was_suspended_wakes_up_hearing() -> None:
    """An hour between two looks is no hour of listening."""
    assert silence([EMPTY, DEAF], every_s=3600) == 2


def test_the_watch_replaces_the_process_once_and_the_broker_being_away_is_no_deafness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def looks() -> Iterator[Sample | None]:
        yield from (DEAF, DEAF, None)
        yield from repeat(DEAF)

    seen, replaced = looks(), []

    def sample() -> Sample:
        found = next(seen)
        if found is None:
            raise OSError
        return found

    monkeypatch.setattr(liveness, "EVERY_S", 0.05)
    watch = Watch(sample, lambda: replaced.append(True), 0.3, threading.Event())
    thread = threading.Thread(target=watch.run)
    thread.start()
    until(lambda: replaced)
    thread.join(5)
    assert replaced == [True]
    assert watch.deaf_since is not None

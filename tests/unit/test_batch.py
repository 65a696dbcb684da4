"""Several uploads in one doorbell: in turn, and none of them waits long for another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import pytest

from tests.waiting import until
from workers.batch import PATIENCE_S, Batches, Following

FIRST, *REST = IDS = tuple(UUID(int=number) for number in range(1, 5))


@dataclass
class Slot:
    """One that answers a doorbell, and what it did."""

    now: float = 100.0
    told_to_stop: bool = False
    done: list[UUID] = field(default_factory=list)
    given_back: list[tuple[str, list[UUID]]] = field(default_factory=list)
    errors: list[psycopg.Error] = field(default_factory=list)
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self.give_back, is_over=lambda: self.told_to_stop, clock=lambda: self.now)

    def give_back(self, grant: str, ids: Sequence[UUID]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.given_back.append((grant, list(ids)))

    def answer(
        self, ids: Sequence[UUID] = IDS, meanwhile: Callable[[UUID], bool] = lambda _: True, *, follow: bool = False
    ) -> tuple[UUID, ...]:
        def carry_out(upload_id: UUID, following: Following) -> bool:
            self.done.append(upload_id)
            goes_on = meanwhile(upload_id)
            if follow and goes_on and (then := following()) is not None:
                return carry_out(then, following)
            return goes_on

        return self.batches.answer("grant", ids, carry_out)


@pytest.fixture
def slot() -> Slot:
    return Slot()


def test_they_are_carried_out_in_turn(slot: Slot) -> None:
    assert slot.answer() == ()
    assert (slot.done, slot.given_back) == (list(IDS), [])


def test_behind_one_that_takes_long_the_rest_is_given_back_while_it_goes_on(slot: Slot) -> None:
    def long(_: UUID) -> bool:
        slot.now += PATIENCE_S * 1.1
        return bool(until(lambda: slot.given_back))

    assert slot.answer(meanwhile=long) == tuple(REST)
    assert (slot.done, slot.given_back) == ([FIRST], [("grant", REST)])


def test_whoever_carries_one_out_may_take_those_that_follow(slot: Slot) -> None:
    assert slot.answer(follow=True) == ()
    assert (slot.done, slot.given_back) == (list(IDS), [])


def test_none_follows_once_the_worker_is_told_to_stop(slot: Slot) -> None:
    def stop(_: UUID) -> bool:
        slot.told_to_stop = True
        return True

    assert slot.answer(meanwhile=stop, follow=True) == tuple(REST)
    assert slot.done == [FIRST]


def test_none_follows_that_was_given_back(slot: Slot) -> None:
    def long(_: UUID) -> bool:
        slot.now += PATIENCE_S * 1.1
        return bool(until(lambda: slot.given_back))

    assert slot.answer(meanwhile=long, follow=True) == tuple(REST)
    assert slot.done == [FIRST]


@pytest.mark.parametrize("follow", [False, True])
def test_each_of_them_has_the_same_patience(slot: Slot, follow: bool) -> None:
    def quick(_: UUID) -> bool:
        slot.now += PATIENCE_S * 0.9
        return True

    assert slot.answer(meanwhile=quick, follow=follow) == ()
    assert slot.done == list(IDS)


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_begun(slot: Slot) -> None:
    def stop(_: UUID) -> bool:
        slot.told_to_stop = True
        return bool(until(lambda: slot.given_back))

    assert slot.answer(meanwhile=stop) == tuple(REST)
    assert slot.answer(IDS[:1]) == IDS[:1]
    assert (slot.done, slot.given_back) == ([FIRST], [("grant", REST), ("grant", [FIRST])])


def test_a_doorbell_that_is_refused_is_not_tried_again_for_the_rest(slot: Slot) -> None:
    assert slot.answer(meanwhile=lambda _: False) == ()
    assert (slot.done, slot.given_back) == ([FIRST], [])


def test_a_fault_gives_the_rest_back_and_is_raised(slot: Slot) -> None:
    def fault(_: UUID) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        slot.answer(meanwhile=fault)
    assert slot.given_back == [("grant", REST)]


def test_a_database_that_is_away_does_not_end_the_watch(slot: Slot) -> None:
    """The marks run out by themselves; the next who waits behind a long one must still be seen."""

    def long(_: UUID) -> bool:
        slot.now += PATIENCE_S * 1.1
        return bool(until(lambda: not slot.errors if wrong else slot.given_back))

    slot.errors, wrong = [psycopg.OperationalError()], True
    slot.answer(meanwhile=long)
    wrong = False
    slot.answer(meanwhile=long)
    assert slot.given_back == [("grant", REST)]

"""The store's circuit: it opens for an outage and not for bad luck, tries sparingly, and closes by itself."""

import threading
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from tests.waiting import until
from workers import errors
from workers.circuit import Circuit
from workers.uploads import Copied

COPIED = Copied("o/2026/01/c/u.wav", 1, "0" * 64, "audio/wav", "wav", 0, 0)
AWAY, DENIED, THROTTLED = errors.StoreUnavailable(), errors.StoreDenied(), errors.StoreThrottled()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """Answers the cheap question with this fault, or with nothing."""

    def __init__(self, fault: errors.AttemptError | None = None) -> None:
        self.fault, self.asked = fault, 0

    def check(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def circuit(store: Store, clock: Clock) -> Circuit:
    return Circuit(store.check, Random(1), clock)


def admitted(circuit: Circuit) -> bool:
    return circuit.admit(within_s=0, unless=lambda: False)


def open_by(circuit: Circuit, fault: errors.AttemptError = AWAY) -> None:
    for _ in range(3):
        circuit.heard(fault)
    assert circuit.paused is not None


def test_one_fault_or_two_are_bad_luck_three_in_a_row_are_an_outage(circuit: Circuit) -> None:
    for _ in range(2):
        circuit.heard(AWAY)
    circuit.heard(COPIED)
    circuit.heard(AWAY)
    circuit.heard(THROTTLED)
    assert circuit.paused is None
    circuit.heard(AWAY)
    assert circuit.paused == ("store_unavailable", 0.0)
    assert not admitted(circuit)


def test_a_refusal_is_an_outage_at_once_unless_others_were_stored_lately(circuit: Circuit, clock: Clock) -> None:
    circuit.heard(COPIED)
    circuit.heard(DENIED)
    assert circuit.paused is None
    clock.now += 11
    circuit.heard(DENIED)
    assert circuit.paused == ("store_denied", 0.0)


def test_faults_of_the_source_say_nothing_about_the_store(circuit: Circuit) -> None:
    for _ in range(10):
        circuit.heard(errors.SourceTimeout())
        circuit.heard(errors.IntegrityMismatch())
        circuit.heard(errors.Interrupted())
    assert circuit.paused is None


def test_while_it_is_open_the_store_is_asked_ever_more_seldom_and_nothing_is_let_through(
    circuit: Circuit, store: Store, clock: Clock
) -> None:
    store.fault = AWAY
    open_by(circuit)
    asked_at: list[float] = []
    for _ in range(6000):
        clock.now += 0.01
        before = store.asked
        assert not admitted(circuit)
        if store.asked > before:
            asked_at.append(clock.now)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps[0] <= 1.1
    assert 4.9 <= gaps[-1] <= 10.1
    assert len(asked_at) < 20


def test_a_store_that_answers_gets_one_upload_after_the_other_until_one_is_stored(
    circuit: Circuit, store: Store, clock: Clock
) -> None:
    open_by(circuit, DENIED)
    clock.now += 1
    assert [admitted(circuit) for _ in range(3)] == [True, False, False]
    circuit.heard(DENIED)
    assert not admitted(circuit)
    clock.now += 2
    assert [admitted(circuit) for _ in range(3)] == [True, False, False]
    circuit.heard(COPIED)
    assert circuit.paused is None
    assert [admitted(circuit) for _ in range(3)] == [True] * 3


def test_a_slow_try_does_not_hold_up_the_next(circuit: Circuit, clock: Clock) -> None:
    open_by(circuit)
    for _ in range(3):
        clock.now += 11
        assert admitted(circuit)


def test_a_try_that_came_to_nothing_is_anothers_turn_at_once(circuit: Circuit, clock: Clock) -> None:
    open_by(circuit)
    clock.now += 1
    assert admitted(circuit)
    assert not admitted(circuit)
    circuit.heard(None)
    assert admitted(circuit)


def test_those_that_were_under_way_when_it_opened_do_not_put_the_first_try_off(circuit: Circuit, clock: Clock) -> None:
    open_by(circuit)
    for _ in range(20):
        circuit.heard(AWAY)
    clock.now += 0.6
    assert admitted(circuit)


def test_it_says_for_how_long_and_why(circuit: Circuit, store: Store, clock: Clock) -> None:
    open_by(circuit)
    clock.now += 40
    assert circuit.paused == ("store_unavailable", 40.0)
    store.fault = DENIED
    assert not admitted(circuit)
    assert circuit.paused == ("store_denied", 40.0), "what it says now"


def in_thread(act: Callable[[], bool]) -> tuple[threading.Thread, list[bool]]:
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(act()))
    thread.start()
    return thread, said


def test_who_waits_goes_on_within_a_moment_of_the_stores_return(store: Store) -> None:
    circuit = Circuit(store.check, Random(1))
    store.fault = AWAY
    open_by(circuit)
    waiting = [in_thread(lambda: circuit.admit(within_s=60, unless=lambda: False)) for _ in range(4)]
    until(lambda: store.asked >= 2)
    store.fault = None
    until(lambda: any(said for _, said in waiting))
    circuit.heard(COPIED)
    for thread, said in waiting:
        thread.join(5)
        assert said == [True]


def test_who_waits_is_let_go_when_the_worker_stops(store: Store) -> None:
    circuit = Circuit(store.check, Random(1))
    store.fault = AWAY
    open_by(circuit)
    stopping = threading.Event()
    thread, said = in_thread(lambda: circuit.admit(within_s=60, unless=stopping.is_set))
    stopping.set()
    thread.join(5)
    assert said == [False]

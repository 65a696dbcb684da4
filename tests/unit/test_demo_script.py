from collections import Counter

import pytest

from workers.demo.kinds import DECK, MAX_BYTES, OVERSIZE, SLOW
from workers.demo.provider import Provider
from workers.demo.script import LARGEST, SMALLEST, duration_s, write


def test_the_script_is_a_function_of_its_seed() -> None:
    def shape(seed: int) -> list[tuple[str, str, int, float]]:
        script = write(organisations=3, calls=40, seed=seed)
        return [(call.recording_id, call.kind.name, call.recording.size, call.at_s) for call in script.calls]

    assert shape(1) == shape(1)
    assert shape(1) != shape(2)


def test_forty_calls_show_every_kind_and_most_are_fine() -> None:
    kinds = Counter(kind.name for kind in DECK)
    assert len(DECK) == 40
    assert len(kinds) == 14
    assert kinds["fine"] > len(DECK) / 2
    assert {kind.code for kind in DECK} == {None, "not_audio", "too_large", "source_blocked", "source_gone"}


@pytest.mark.parametrize(("organisations", "calls"), [(2, 1), (3, 40), (20, 100)])
def test_there_is_always_a_slow_recording_to_kill_a_worker_over_and_never_many(organisations: int, calls: int) -> None:
    script = write(organisations=organisations, calls=calls)
    slow = [call for call in script.calls if call.kind is SLOW]
    assert 1 <= len(slow) <= 6
    assert len(script.calls) == organisations * calls
    assert all(script.over_s / 2 - 1 <= call.at_s <= script.over_s / 2 for call in slow)


def test_sizes_are_those_of_calls_and_only_what_is_meant_to_be_over_the_limit_is() -> None:
    calls = write(organisations=3, calls=200).calls
    assert all(SMALLEST <= call.recording.size <= LARGEST for call in calls)
    assert LARGEST < MAX_BYTES < OVERSIZE


def test_some_calls_are_reported_twice() -> None:
    calls = write(organisations=3, calls=40).calls
    again = [call for call in calls if call.again_at_s is not None]
    assert len(again) == 15
    assert all(call.again_at_s >= call.at_s for call in again if call.again_at_s is not None)


@pytest.mark.parametrize(("total", "over_s"), [(2, 2.0), (80, 4.0), (120, 6.0), (360, 6.0), (3000, 50.0)])
def test_calls_end_over_some_seconds_and_never_faster_than_sixty_a_second(total: int, over_s: float) -> None:
    assert duration_s(total) == over_s


def test_a_slow_recording_is_slow_only_for_the_first_who_asks() -> None:
    with Provider() as provider:
        provider.add("/slow", b"x" * 1000, *SLOW.plays(1000))
        paces = [provider.answer("/slow", {}).bytes_per_s for _ in range(3)]
    assert paces == [200.0, None, None]

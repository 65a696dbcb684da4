"""How long the dispatcher rests: not at all for one upload, longer the less there is to do or the more is ahead."""

import pytest

from workers.pace import AHEAD, BACKLOG_S, EAGER_S, Pace, Rest


def test_after_a_single_row_it_listens_at_once() -> None:
    assert Pace(1.0).after(1, waiting=0) == Rest(0.0, EAGER_S)


def test_after_several_it_lets_others_gather() -> None:
    assert Pace(1.0).after(2, waiting=AHEAD - 1) == Rest(EAGER_S, 0.0)


def test_where_every_slot_has_more_ahead_it_looks_less_often_and_hears_who_comes() -> None:
    assert Pace(1.0).after(2, waiting=AHEAD) == Rest(EAGER_S, BACKLOG_S)


def test_the_less_it_finds_the_longer_it_rests_up_to_a_tick() -> None:
    pace = Pace(0.1)
    rests = [pace.after(0, waiting=0).listen_s for _ in range(4)]
    assert rests == pytest.approx([0.04, 0.08, 0.1, 0.1])


def test_a_call_makes_it_eager_again_though_there_was_no_room() -> None:
    pace = Pace(1.0)
    for _ in range(8):
        pace.after(0, waiting=0)
    pace.stir()
    assert pace.after(0, waiting=0).listen_s == 2 * EAGER_S


@pytest.mark.parametrize("found", [1, 40])
def test_what_it_finds_makes_it_eager_again(found: int) -> None:
    pace = Pace(1.0)
    for _ in range(8):
        pace.after(0, waiting=0)
    pace.after(found, waiting=0)
    assert pace.after(0, waiting=0).listen_s == 2 * EAGER_S

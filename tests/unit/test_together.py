"""What goes into one doorbell: one upload where a slot may be free, several where none is."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from workers.dispatch import Due, most_together, together
from workers.doorbell import MOST_TOGETHER

ONE, OTHER = UUID(int=1), UUID(int=2)


def due(*org_ids: UUID) -> list[Due]:
    return [Due(UUID(int=100 + number), org_id) for number, org_id in enumerate(org_ids)]


def sizes(rings: list[list[Due]]) -> list[int]:
    return [len(ring) for ring in rings]


def test_where_nothing_waits_each_has_a_doorbell_of_its_own() -> None:
    assert sizes(together(due(*[ONE] * 30), waiting=0)) == [1] * 30


def test_the_more_wait_the_more_go_together_and_never_more_than_a_grant_names() -> None:
    assert [most_together(waiting) for waiting in (0, 1, 4, 9, 10_000)] == [1, 2, 5, MOST_TOGETHER, MOST_TOGETHER]


def test_of_a_large_pick_those_behind_wait_for_those_before() -> None:
    rings = together(due(*[ONE] * 400), waiting=0)
    assert sizes(rings)[:32] == [1] * 32
    assert max(sizes(rings)) == MOST_TOGETHER
    assert len(rings) < 100


def test_each_organisation_has_its_own_at_the_place_of_its_first() -> None:
    rings = together(due(ONE, ONE, OTHER, ONE, OTHER), waiting=1)
    assert [(ring[0].org_id, len(ring)) for ring in rings] == [(ONE, 2), (OTHER, 2), (ONE, 1)]


@given(st.lists(st.sampled_from([ONE, OTHER, UUID(int=3)]), max_size=80), st.integers(0, 100))
def test_each_row_is_rung_for_once_in_order_and_never_beside_anothers(org_ids: list[UUID], waiting: int) -> None:
    rows = due(*org_ids)
    rings = together(rows, waiting=waiting)
    assert all(len({row.org_id for row in ring}) == 1 and len(ring) <= MOST_TOGETHER for ring in rings)
    for org_id in set(org_ids):
        mine = [row for ring in rings for row in ring if row.org_id == org_id]
        assert mine == [row for row in rows if row.org_id == org_id]

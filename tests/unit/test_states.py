"""The states as the code names them. That rows move only along them is tests/queue/test_state_machine.py."""

from workers.states import TRANSITIONS, Status


def test_every_state_says_where_it_leads() -> None:
    assert set(TRANSITIONS) == set(Status)


def test_nothing_moves_a_completed_row() -> None:
    assert TRANSITIONS[Status.COMPLETED] == frozenset()


def test_a_row_is_completed_only_from_an_attempt() -> None:
    assert {state for state, leads_to in TRANSITIONS.items() if Status.COMPLETED in leads_to} == {Status.PROCESSING}


def test_every_state_but_the_last_one_has_a_way_to_completion() -> None:
    for state in set(Status) - {Status.COMPLETED}:
        reached, edge = {state}, {state}
        while edge:
            edge = {leads_to for at in edge for leads_to in TRANSITIONS[at]} - reached
            reached |= edge
        assert Status.COMPLETED in reached

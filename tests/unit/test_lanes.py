"""Which process takes which file: whole systems from the front, everything else from the back."""

from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests.lanes import TwoEnds, is_front, own_ports, processes


class Node:
    """One of xdist's processes, which runs what it is told to at once."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.told: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.told += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def taken(nodes: list[Node], files: int) -> list[list[int]]:
    """Which of so many files, of one test each, each node takes, if all are equally fast."""
    options = SimpleNamespace(loadscopereorder=True)
    config: Any = SimpleNamespace(option=options, getvalue=lambda _: ["popen"] * len(nodes))
    queue: Any = TwoEnds(config, Producer("", enabled=False))
    for node in nodes:
        queue.add_node(node)
        queue.add_node_collection(node, [f"tests/test_{number}.py::test" for number in range(files)])
    queue.schedule()
    done = 0
    while any(len(node.told) > done for node in nodes):
        for node in nodes:
            for index in node.told[done : done + 1]:
                queue.mark_test_complete(node, index)
        done += 1
    assert all(node.shutting_down for node in nodes)
    return [node.told for node in nodes]


def test_the_first_takes_from_the_front_the_others_from_the_back_and_none_is_left() -> None:
    first, second, third = taken([Node(0), Node(1), Node(2)], files=30)
    assert first == sorted(first)
    assert first[0] == 0
    assert second == sorted(second, reverse=True)
    assert third == sorted(third, reverse=True)
    assert {second[0], third[0]} == {29, 28}
    assert sorted(first + second + third) == list(range(30))


def test_one_process_takes_all_in_order() -> None:
    assert taken([Node(0)], files=5) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(("count", "front"), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (9, 3)])
def test_a_third_of_the_processes_take_whole_systems_and_one_at_least(count: int, front: int) -> None:
    assert [is_front(f"gw{number}", count) for number in range(count)] == [number < front for number in range(count)]


def test_there_are_two_processes_at_least() -> None:
    assert processes() >= 2


def test_no_port_is_two_processes() -> None:
    shares = [range(*own_ports((15_000, 25_000), f"gw{number}", 3)) for number in range(3)]
    assert [len(share) for share in shares] == [3_333] * 3
    assert len({port for share in shares for port in share}) == 9_999
    assert range(*own_ports((15_000, 25_000), "gw4", 3)) == shares[1], "in place of one that crashed"

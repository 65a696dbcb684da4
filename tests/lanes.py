"""Which files run beside which when `make test` runs several at once, each in one of xdist's processes.

Those that start the whole system wait most of the time, and measure: takeovers, leases, deafness. The others compute.
So the queue has the former at its front and the latter at its back; a few processes take from the front, the rest from
the back, until they meet: whole systems seldom run beside one another, and processors are seldom idle. Which file is
which, its marker ``stack`` says: no list is kept.
"""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

#: Half a gigabyte each: a PostgreSQL and an S3 of their own.
MOST_PROCESSES = 9
#: How much those who compute stand back behind the systems under test.
NICE = 5


def processes() -> int:
    """One more than there are processors, for one waits."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable + 1, MOST_PROCESSES)


def is_front(worker_id: str, count: int) -> bool:
    """Whether this of so many processes takes whole systems. The first always, so that the longest way is begun at
    once; one started in place of a process that crashed never."""
    return int(worker_id.removeprefix("gw")) < max(1, count // 3)


def own_ports(ports: tuple[int, int], worker_id: str, count: int) -> tuple[int, int]:
    """A share of the ports for each: between a look and a server's bind, no other process takes one. What starts in a
    program of its own, as `recordings up` does, picks among all of them, and again if it loses one."""
    low, high = ports
    width = (high - low) // count
    begin = low + int(worker_id.removeprefix("gw")) % count * width
    return begin, begin + width


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Files with a test that needs the whole system first; else nothing changes places."""
    whole = {item.path for item in items if item.get_closest_marker("stack")}
    return sorted(items, key=lambda item: item.path not in whole)


class TwoEnds(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file at a time, from the front of the queue or from its back."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False  # it puts the files with the most tests first
        super().__init__(config, log)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not is_front(node.gateway.id, self.numnodes):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

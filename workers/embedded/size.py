"""How many worker processes a machine is given that holds the whole system, and how many rows in flight they are."""

import os


def cores() -> int:
    """That this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(cores: int) -> int:
    """Half of the cores: a process of threads is bound to one, and PostgreSQL and the store need as much for an upload
    as it does. Two at least, so that one goes on while the other is restarted; eight at most, for their memory."""
    return max(2, min(8, cores // 2))


def default_workers() -> int:
    return workers_for(cores())


def in_flight(slots: int) -> tuple[int, int]:
    """The dispatcher's window and an organisation's share of it, in rows, for so many threads in all workers.

    Sixteen a thread: of a backlog, half lies in doorbells of seven or eight that threads have in hand, half waits, and
    no thread does. More would be decided in Redis and not by urgency. A quarter for one organisation, so that it can
    use every thread and four can fill the window. Never less than the dispatcher's defaults, nor more than it takes.
    """
    return min(10_000, max(128, 16 * slots)), min(10_000, max(32, 4 * slots))

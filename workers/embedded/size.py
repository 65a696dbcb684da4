"""How many worker processes a machine is given that holds the whole system."""

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

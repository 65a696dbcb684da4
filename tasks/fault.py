"""What a task shows of a fault of our own: the kind of it, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from workers.telemetry import log


class TaskFaultError(Exception):
    """A fault of our own. Its details are in the worker's log, redacted; Flower and events show this."""


@contextmanager
def without_details(**ids: str | None) -> Iterator[None]:
    """Whatever comes is logged with ``ids``, and raised again as ``TaskFaultError``."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        log("worker").exception("task_fault", **ids)
        raise TaskFaultError(type(error).__name__) from None

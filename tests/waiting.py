"""Waiting for a thing to be so, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, timeout_s: float = 60.0, every_s: float = 0.02) -> T:
    """Ask again and again until the answer is truthy, and return it; fail with what was last seen.

    A minute is no promise of anything: on a machine that does ten other things, a program takes half of it to start.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > deadline:
            message = f"not so within {timeout_s} s; last seen: {seen!r}"
            raise AssertionError(message)
        time.sleep(every_s)

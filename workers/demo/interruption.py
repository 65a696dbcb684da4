"""Ctrl-C and its relatives, without ever cutting a clean-up short."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """The first of the signals raises KeyboardInterrupt, but only inside ``armed``; one that comes before is kept until
    then. Any further one calls ``hurry``. From the main thread only."""

    def __init__(self) -> None:
        self.is_armed = False
        self.came = False
        self.hurry: Callable[[], None] = lambda: None

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        came, self.came = self.came, True
        if self.is_armed:  # still, though one came before: Python threw it away, as it does in a destructor
            raise KeyboardInterrupt
        if came:
            self.hurry()

    @contextmanager
    def heard(self) -> Iterator[None]:
        before = {number: signal.signal(number, self) for number in ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def armed(self) -> Iterator[None]:
        self.is_armed = True
        try:
            if self.came:
                raise KeyboardInterrupt
            yield
        finally:
            self.is_armed = False

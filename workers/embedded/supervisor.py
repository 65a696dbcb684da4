"""Keep a stack running until somebody asks it to stop. Run as a program by `recordings up --detach`."""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from workers.embedded.stack import Stack
from workers.errors import RecordingError

TEND_EVERY_S = 0.2
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """What the three signals mean: while it starts, give up; then, drain; again, do not wait for the drain."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.is_started = False
        self.asked = threading.Event()

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        if not self.is_started:
            self.is_started = True  # once: its clean-up is not to be interrupted
            # Python throws away what is raised while a destructor or the callback of a weak reference is at work: then
            # the start goes on, and this ends it.
            self.asked.set()
            raise KeyboardInterrupt
        if self.asked.is_set():
            self.stack.hurry()
        self.asked.set()


def supervise(stack: Stack, *, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
    """Start the stack, call ``ready``, look after it until a signal comes, call ``stopping`` and drain."""
    ending = Ending(stack)
    for number in ENDINGS:
        signal.signal(number, ending)
    with stack:
        ending.is_started = True
        ready()
        while not ending.asked.wait(TEND_EVERY_S):
            for name in stack.tend():
                sys.stderr.write(f"{name} ended and was started again\n")
        stopping()


def main(state_dir: str, workers: str, concurrency: str, renditions: str = "0") -> int:
    try:
        stack = Stack(Path(state_dir), workers=int(workers), concurrency=int(concurrency), renditions=int(renditions))
        supervise(stack, ready=lambda: None, stopping=lambda: None)
    except RecordingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

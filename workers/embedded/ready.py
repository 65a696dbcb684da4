"""Start servers side by side and wait until all of them answer."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from workers.embedded.errors import PortTaken, StartFailed
from workers.embedded.process import Process

WITHIN_S = 30.0
LOOK_EVERY_S = 0.01
TAKEN = ("address already in use", "could not bind", "port is not available", "is not available on")


class Server(Protocol):
    """What starts, and says when it is ready."""

    @property
    def name(self) -> str: ...

    def start(self) -> Process: ...

    def is_ready(self) -> bool: ...


def wait_ready(
    servers: Sequence[Server], *, within_s: float = WITHIN_S, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Process]:
    """Start all, one after the other from this thread, then wait for all; ``tell`` hears of each as it gets ready.

    A server that does not make it stops the others and raises StartFailed with the end of its log; PortTaken when the
    log says that it lost its port to somebody else.
    """
    started: dict[str, Process] = {}
    try:
        for server in servers:
            started[server.name] = server.start()
        deadline = time.monotonic() + within_s
        waiting = list(servers)
        while waiting:
            for server in list(waiting):
                check(started[server.name], deadline)
                if server.is_ready():
                    waiting.remove(server)
                    tell(server.name)
            time.sleep(LOOK_EVERY_S)
    except BaseException:
        for process in started.values():
            process.stop()
        raise
    return started


def check(process: Process, deadline: float) -> None:
    if not process.is_alive():
        tail = process.tail()
        failure = PortTaken if any(sign in tail.lower() for sign in TAKEN) else StartFailed
        raise failure(f"{process.program.name} did not start; the end of its log:", tail=tail)
    if time.monotonic() > deadline:
        raise StartFailed(f"{process.program.name} was not ready in time; the end of its log:", tail=process.tail())

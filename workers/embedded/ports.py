"""Free ports on loopback."""

import errno
import random
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
# Below every system's ephemeral range: there, a client's outgoing connection may take a port between our look and the
# server's bind, and a client that polls a port nobody listens on yet can end up connected to itself.
# And 10,000 wide: weed's maintenance worker dials its admin port plus 10,000, whatever it is told; nobody is there.
RANGE = (15_000, 25_000)
ATTEMPTS = 1_000


def is_free(port: int) -> bool:
    """Whether a server could listen there now. SO_REUSEADDR as servers set it: what is in TIME_WAIT does not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return bind(probe, port)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def pick(count: int) -> list[int]:
    """Different free ports. Between this and the server's own bind somebody else may still take one: see Servers."""
    chosen: list[int] = []
    random_source = random.SystemRandom()
    with ExitStack() as held:
        for _ in range(ATTEMPTS):
            if len(chosen) == count:
                return chosen
            probe = held.enter_context(socket.socket())
            port = random_source.randrange(*RANGE)
            if bind(probe, port):
                chosen.append(port)
    raise OSError(errno.EADDRINUSE, "no free ports on 127.0.0.1")


def bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True

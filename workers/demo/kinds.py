"""The kinds of recordings in the demo: what the provider does when it is asked for one, and how its upload must end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from workers.demo import behaviours
from workers.demo.behaviours import Answer, Behaviour, Headers

MAX_BYTES = 3 * 1024 * 1024
"""The demo's limit for one recording. The largest that must be stored has 2 MB."""
OVERSIZE = 5 * 1024 * 1024
SLOW_S = 5.0
"""How long a slow recording takes the first time: long enough to be killed in the middle of it."""
_METADATA = "http://169.254.169.254/latest/meta-data/"
_INSIDE = "http://10.0.0.1/recording.wav"

Plays = Callable[[int], tuple[Behaviour, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """``plays`` makes the provider's behaviours from the recording's size; ``code`` is the failure that the upload must
    end with, None where the recording must be stored."""

    name: str
    plays: Plays
    code: str | None = None
    provider: str = "https"


def slow_at_first(size: int) -> Behaviour:
    """The first answer takes ``SLOW_S``, later ones no time: whoever takes over is not to be waited for again."""
    lock, asked = threading.Lock(), 0

    def behave(_: Headers, answer: Answer) -> None:
        nonlocal asked
        with lock:
            asked += 1
            if asked == 1:
                answer.bytes_per_s = size / SLOW_S

    return behave


FINE = Kind("fine", lambda _: ())
SLOW = Kind("slow", lambda size: (slow_at_first(size),))
NOT_READY = Kind("not_ready", lambda _: (behaviours.not_ready(times=2),), provider="twilio")
BUSY = Kind("busy", lambda _: (behaviours.status(503, times=2),))
THROTTLED = Kind("throttled", lambda _: (behaviours.status(503, times=1, retry_after="1"),))
CUT = Kind("cut", lambda size: (behaviours.cut(size // 2, times=1),))
UNKNOWN_LENGTH = Kind("unknown_length", lambda _: (behaviours.no_length(),))
PAGE = Kind("page", lambda _: (behaviours.html(),), code="not_audio")
TOO_LARGE = Kind("too_large", lambda _: (behaviours.oversize(OVERSIZE),), code="too_large")
ENDLESS = Kind("endless", lambda _: (behaviours.oversize(OVERSIZE), behaviours.no_length()), code="too_large")
METADATA = Kind("metadata", lambda _: (behaviours.redirect(_METADATA),), code="source_blocked")
INSIDE = Kind("inside", lambda _: (behaviours.redirect(_INSIDE),), code="source_blocked")
GONE = Kind("gone", lambda _: (behaviours.status(410),), code="source_gone")

FORBIDDEN = Kind("forbidden", lambda _: (behaviours.status(403),))
"""Until an operator has seen to it."""

DECK = (
    *(
        SLOW,
        FINE,
        NOT_READY,
        FORBIDDEN,
        BUSY,
        FINE,
        PAGE,
        FINE,
        CUT,
        FINE,
        METADATA,
        FINE,
        FINE,
        TOO_LARGE,
        FINE,
        GONE,
        FINE,
    ),
    *(FINE, THROTTLED, FINE, SLOW, FINE, UNKNOWN_LENGTH, FINE, FINE, NOT_READY, FINE, FINE, INSIDE, FINE, BUSY, FINE),
    *(FINE, CUT, FINE, FINE, ENDLESS, FINE, FINE, FINE),
)
"""Forty calls of an organisation, dealt from the top: a few show a little of everything, forty show it all."""

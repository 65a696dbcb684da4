"""Clocks that disagree: PostgreSQL refuses a grant from more than a minute ahead of it, S3 what is signed a quarter of
an hour away, and a user's token may have run out on one side only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from workers.doctor.result import Result, ok, unseen, warning, wrong

_MUCH_S = 3.0
#: Half of what a grant may be ahead: a drift that got so far gets further.
_TOO_MUCH_S = 30.0
_REMEDY = "let every host follow a time server (chrony, systemd-timesyncd)"


@dataclass(frozen=True, slots=True)
class Reading:
    """A server's clock minus this machine's, in seconds, give or take ``within_s``."""

    ahead_s: float
    within_s: float

    @classmethod
    def between(cls, before_s: float, theirs_s: float, after_s: float, *, grain_s: float = 0.0) -> "Reading":
        """A question that left and was answered at these times of ours (Unix seconds). ``grain_s``: it rounds down."""
        middle = (before_s + after_s) / 2
        return cls(theirs_s + grain_s / 2 - middle, (after_s - before_s + grain_s) / 2)


def judge(readings: Mapping[str, Reading]) -> Iterator[Result]:
    """Each against this machine's, which is the dispatcher's or a worker's if it is asked there."""
    if not readings:
        yield unseen("clocks", "no server was reached whose clock could be read")
    for name, reading in readings.items():
        least_s = max(0.0, abs(reading.ahead_s) - reading.within_s)
        said = f"{name} is {least_s:.0f} s {'ahead of' if reading.ahead_s > 0 else 'behind'} this machine"
        if least_s >= _TOO_MUCH_S:
            yield wrong("clocks", f"{said}: from a minute on, every grant is refused", _REMEDY)
        elif least_s >= _MUCH_S:
            yield warning("clocks", said, _REMEDY)
        else:
            yield ok("clocks", f"{name} and this machine agree within {least_s + reading.within_s + 0.1:.1f} s")

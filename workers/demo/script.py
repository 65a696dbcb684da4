"""The demo's script: which calls end when, what becomes of their recordings, and how each must end. From a seed, before
anything runs, so that the checks know what to expect without asking the system under test."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from workers.demo.kinds import DECK, FINE, SLOW, Kind
from workers.demo.recordings import Recording

SMALLEST, LARGEST = 5_000, 2_000_000
SLOW_ORGANISATIONS = 3
"""Slow recordings hold a worker's slot for seconds: a handful, however many calls there are."""
_NAMES = (
    "Northside Dental",
    "Harbour Eye Clinic",
    "Cedar Lane Physio",
    "Old Mill Veterinary",
    "Riverside Paediatrics",
    "Lindenhof Cardiology",
    "Greenfield Dermatology",
    "St Anne's Maternity",
)


@dataclass(frozen=True, slots=True)
class Call:
    """``organisation`` counts from 0. ``at_s`` is when the call ends, in seconds from the start; ``again_at_s`` is when
    the provider says so a second time, as providers do."""

    organisation: int
    recording_id: str
    kind: Kind
    recording: Recording
    at_s: float
    again_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Script:
    names: tuple[str, ...]
    calls: tuple[Call, ...]
    over_s: float


def name(number: int) -> str:
    return _NAMES[number] if number < len(_NAMES) else f"Clinic {number + 1}"


def duration_s(total: int) -> float:
    """Over how long so many calls end: 20 a second as far as that takes 6 s, faster then, 60 a second at most."""
    return max(min(6.0, max(2.0, total / 20)), total / 60)


def write(*, organisations: int, calls: int, seed: int = 1) -> Script:
    """The script for so many calls of so many organisations each."""
    rng = Random(seed)  # noqa: S311 - a play, not a secret
    over_s = duration_s(organisations * calls)
    written = [call for number in range(organisations) for call in _calls(number, calls, over_s, rng)]
    names = tuple(name(number) for number in range(organisations))
    return Script(names, tuple(sorted(written, key=lambda call: call.at_s)), over_s)


def _calls(organisation: int, count: int, over_s: float, rng: Random) -> Iterator[Call]:
    for number in range(count):
        kind = _kind(organisation, number)
        # The slow ones together, in the middle: in flight when the worker is killed, and time left to take them over.
        at_s = over_s / 2 - rng.random() if kind is SLOW else over_s * rng.random()
        yield Call(
            organisation=organisation,
            recording_id=f"RE{rng.getrandbits(128):032x}",
            kind=kind,
            recording=Recording(seed=rng.getrandbits(31), size=_size(rng)),
            at_s=at_s,
            again_at_s=at_s + rng.uniform(0.0, 2.0) if number % 8 == 3 else None,
        )


def _kind(organisation: int, number: int) -> Kind:
    kind = DECK[number % len(DECK)]
    is_first = organisation < SLOW_ORGANISATIONS and number < len(DECK)
    return kind if kind is not SLOW or is_first else FINE


def _size(rng: Random) -> int:
    """Many short calls, few long ones: equally many in each doubling."""
    return round(math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST))))

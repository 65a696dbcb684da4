"""What a chaos run will do, all of it drawn from the seed before anything starts: the calls and the faults."""

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from workers.demo import behaviours, kinds
from workers.demo.behaviours import Answer, Behaviour, Headers
from workers.demo.kinds import Kind
from workers.demo.recordings import Recording
from workers.demo.script import LARGEST, SMALLEST, Call

ORGANISATIONS = 10
#: Of the time, in which the calls end; the rest is for what the faults have delayed.
LOADED = 0.8
REPEATED = 0.1
#: Half of the calls end in bursts, one a so many seconds: there is a backlog for faults to hit.
BURST_EVERY_S = 15.0


def _at_first(change: str, value: object) -> Behaviour:
    """The first answer only is planned differently."""
    lock, asked = threading.Lock(), 0

    def behave(_: Headers, answer: Answer) -> None:
        nonlocal asked
        with lock:
            asked += 1
            if asked == 1:
                setattr(answer, change, value)

    return behave


HANGS = Kind("hangs", lambda _: (_at_first("hangs", True),))
STALLS = Kind("stalls", lambda _: (_at_first("bytes_per_s", 0.1),))
RESUMES = Kind("resumes", lambda size: (behaviours.ranged(), behaviours.cut(size // 2, times=1)))
FORBIDDEN = Kind("forbidden", lambda _: (behaviours.status(403),), code="source_forbidden")
BROKEN = Kind("broken", lambda _: (behaviours.status(500),), code="source_error")

#: Weight of each kind, in parts of a hundred or so.
MIX: dict[Kind, float] = {
    kinds.FINE: 56,
    kinds.SLOW: 10,
    kinds.NOT_READY: 4,
    kinds.BUSY: 4,
    kinds.THROTTLED: 3,
    kinds.CUT: 4,
    RESUMES: 3,
    kinds.UNKNOWN_LENGTH: 4,
    HANGS: 1.5,
    STALLS: 1.5,
    kinds.PAGE: 2,
    kinds.GONE: 2,
    kinds.TOO_LARGE: 1,
    kinds.ENDLESS: 1,
    kinds.INSIDE: 1,
    FORBIDDEN: 1,
    BROKEN: 0.5,
}
#: What else may stand on the last failure of one that uses up all its tries.
ALSO: dict[str, frozenset[str]] = {BROKEN.name: frozenset({"worker_lost"})}


@dataclass(frozen=True, slots=True)
class Planned:
    """A call, and how urgent its recording is."""

    call: Call
    priority: int


@dataclass(frozen=True, slots=True)
class Fault:
    """``pick`` (0 to 1) chooses the victim among whoever is there at that moment; ``lasts_s`` is until it is undone."""

    at_s: float
    kind: str
    pick: float
    lasts_s: float


#: One round of faults: all of them once, the commoner ones twice.
DECK = (
    *("worker_kill", "worker_stop", "leader_kill", "leader_stop"),
    *("redis_flush", "redis_kill", "redis_term", "redis_clients"),
    *("postgres_fast", "postgres_immediate", "postgres_terminate", "postgres_unheard", "postgres_silent"),
    *("s3_down", "s3_slow", "s3_silent", "s3_500", "s3_503", "s3_cut", "s3_unheard"),
    *("worker_kill", "worker_stop", "leader_kill", "redis_flush", "postgres_terminate", "s3_cut"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    over_s: float
    calls: tuple[Planned, ...]
    faults: tuple[Fault, ...]


def draw(
    *,
    seed: int,
    uploads: int,
    over_s: float,
    every_s: float,
    lease_s: float,
    mix: Mapping[Kind, float] = MappingProxyType(MIX),
) -> Plan:
    """The same arguments give the same plan."""
    rng = Random(seed)
    calls = sorted(_calls(rng, uploads, over_s * LOADED, mix), key=lambda planned: planned.call.at_s)
    return Plan(seed, over_s, tuple(calls), tuple(_faults(rng, over_s, every_s, lease_s)))


def _calls(rng: Random, uploads: int, over_s: float, mix: Mapping[Kind, float]) -> Iterator[Planned]:
    shares = [1 / (number + 1) ** 1.3 for number in range(ORGANISATIONS)]
    for _ in range(uploads):
        at_s = _ends_at_s(rng, over_s)
        yield Planned(
            Call(
                organisation=rng.choices(range(ORGANISATIONS), shares)[0],
                recording_id=f"RE{rng.getrandbits(128):032x}",
                kind=rng.choices(list(mix), list(mix.values()))[0],
                recording=Recording(seed=rng.getrandbits(31), size=_size(rng)),
                at_s=at_s,
                again_at_s=at_s + rng.uniform(0.0, 5.0) if rng.random() < REPEATED else None,
            ),
            priority=rng.choice((0, 5, 5, 5, 5, 9)),
        )


def _ends_at_s(rng: Random, over_s: float) -> float:
    at_s = over_s * rng.random()
    return at_s if rng.random() < 0.5 else at_s - at_s % min(BURST_EVERY_S, over_s / 3)


def _size(rng: Random) -> int:
    """Mostly small: half of them under 15 KB, one in ten over half a MB."""
    return round(SMALLEST * math.exp(rng.random() ** 2.5 * math.log(LARGEST / SMALLEST)))


def _faults(rng: Random, over_s: float, every_s: float, lease_s: float) -> Iterator[Fault]:
    count = max(1, round(over_s / every_s))
    times = sorted(rng.uniform(min(3.0, over_s / 10), over_s) for _ in range(count))
    deck: list[str] = []
    for at_s in times:
        if not deck:
            deck = rng.sample(DECK, len(DECK))
        kind = deck.pop()
        yield Fault(at_s, kind, rng.random(), _lasts_s(rng, kind, lease_s))


def _lasts_s(rng: Random, kind: str, lease_s: float) -> float:
    """A stopped worker wakes as a zombie: past its lease."""
    if kind == "worker_stop":
        return lease_s + rng.uniform(1.0, 4.0)
    return rng.uniform(2.0, 6.0)

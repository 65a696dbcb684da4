"""One measured run, and what several of them say together. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one peer in one cell. ``latencies_ms`` only where uploads came one by one."""

    peer: str
    cell: str
    uploads: int
    seconds: float
    cpu_s: float
    rss_mb: float | None = None
    pss_mb: float | None = None
    latencies_ms: tuple[float, ...] = ()

    @property
    def rate(self) -> float:
        """Uploads a second."""
        return self.uploads / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Client CPU an upload."""
        return self.cpu_s * 1000 / self.uploads


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its range, over rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(median(values), min(values), max(values)) if values else None

    def as_json(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds of one peer in one cell. ``error`` is why there are fewer than there should be."""

    peer: str
    cell: str
    rate: Spread | None = None
    cpu_ms: Spread | None = None
    rss_mb: Spread | None = None
    pss_mb: Spread | None = None
    p50_ms: Spread | None = None
    p95_ms: Spread | None = None
    p99_ms: Spread | None = None
    error: str = ""

    def as_json(self) -> dict[str, object]:
        spreads = {name: getattr(self, name) for name in MEASURES}
        return {"peer": self.peer, "cell": self.cell, "error": self.error} | {
            name: spread.as_json() for name, spread in spreads.items() if spread is not None
        }


MEASURES = ("rate", "cpu_ms", "rss_mb", "pss_mb", "p50_ms", "p95_ms", "p99_ms")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed (nearest rank). ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


def summary(peer: str, cell: str, samples: Sequence[Sample], error: str = "") -> Summary:
    """Medians over the rounds; percentiles are taken within each round first."""
    rounds = [sample.latencies_ms for sample in samples if sample.latencies_ms]
    return Summary(
        peer,
        cell,
        rate=Spread.of([sample.rate for sample in samples if not sample.latencies_ms]),
        cpu_ms=Spread.of([sample.cpu_ms for sample in samples]),
        rss_mb=Spread.of([sample.rss_mb for sample in samples if sample.rss_mb is not None]),
        pss_mb=Spread.of([sample.pss_mb for sample in samples if sample.pss_mb is not None]),
        p50_ms=Spread.of([percentile(values, 0.5) for values in rounds]),
        p95_ms=Spread.of([percentile(values, 0.95) for values in rounds]),
        p99_ms=Spread.of([percentile(values, 0.99) for values in rounds]),
        error=error,
    )


@dataclass(slots=True)
class Results:
    """What a run has found so far; it grows. ``figures`` are single measured numbers by name."""

    samples: list[Sample] = field(default_factory=list)
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    figures: dict[str, Spread] = field(default_factory=dict)

    def summaries(self) -> list[Summary]:
        keys = dict.fromkeys([(sample.cell, sample.peer) for sample in self.samples] + list(self.errors))
        return [
            summary(
                peer,
                cell,
                [sample for sample in self.samples if (sample.cell, sample.peer) == (cell, peer)],
                self.errors.get((cell, peer), ""),
            )
            for cell, peer in keys
        ]

    def value(self, cell: str, peer: str, measure: str) -> float | None:
        """A median, None where nothing was measured."""
        for found in self.summaries():
            if (found.cell, found.peer) == (cell, peer):
                spread: Spread | None = getattr(found, measure)
                return None if spread is None else spread.median
        return None

"""What must be seen, as data, and the verdict on it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.sample import Results

Value = Callable[[Results], float | None]
US = "project"


@dataclass(frozen=True, slots=True)
class Bar:
    """``is_least``: the value must reach the bar; else it may not pass it. ``is_ratio``: of ours to a peer's."""

    name: str
    value: Value
    bar: float
    aim: float
    is_least: bool = True
    unit: str = "×"

    @property
    def is_ratio(self) -> bool:
        return self.unit == "×"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``value`` is None where it was not measured."""

    bar: Bar
    value: float | None

    @property
    def is_met(self) -> bool:
        return self.value is not None and reaches(self.value, self.bar.bar, is_least=self.bar.is_least)

    @property
    def is_aim_met(self) -> bool:
        return self.value is not None and reaches(self.value, self.bar.aim, is_least=self.bar.is_least)

    @property
    def times_better(self) -> float | None:
        """Of a ratio, so that more is better, whatever was divided by what."""
        if not self.bar.is_ratio or not self.value:
            return None
        return self.value if self.bar.is_least else 1 / self.value

    def as_json(self) -> dict[str, object]:
        bar = self.bar
        return {
            "name": bar.name,
            "value": self.value,
            "bar": bar.bar,
            "aim": bar.aim,
            "rule": "at least" if bar.is_least else "at most",
            "unit": bar.unit,
            "met": None if self.value is None else self.is_met,
        }


def reaches(value: float, bar: float, *, is_least: bool) -> bool:
    return value >= bar if is_least else value <= bar


def versus(cell: str, peer: str, measure: str = "rate") -> Value:
    """Our median of a measure, divided by a peer's in the same cell."""

    def value(results: Results) -> float | None:
        ours, theirs = results.value(cell, US, measure), results.value(cell, peer, measure)
        return None if ours is None or not theirs else ours / theirs

    return value


def figure(*names: str) -> Value:
    """The largest of some single figures; None unless all are there."""

    def value(results: Results) -> float | None:
        found = [results.figures.get(name) for name in names]
        return None if None in found else max(spread.median for spread in found if spread is not None)

    return value


BARS = (
    Bar("200 KB, null: uploads/s vs naive -c2", versus("200 KB, null", "naive -c2"), 3.5, 4.5),
    Bar("200 KB, null: uploads/s vs bare", versus("200 KB, null", "bare"), 0.85, 0.95),
    Bar("200 KB, 50 ms: uploads/s vs naive -c2", versus("200 KB, 50 ms", "naive -c2"), 10, 14),
    Bar("200 KB, 50 ms: uploads/s vs naive -c8", versus("200 KB, 50 ms", "naive -c8"), 3, 3.6),
    Bar("200 KB, S3: uploads/s vs procrastinate", versus("200 KB, S3", "procrastinate"), 2.5, 3.5),
    Bar("200 KB, S3: client CPU vs rclone", versus("200 KB, S3", "rclone", "cpu_ms"), 1.5, 1.1, is_least=False),
    Bar("64 MB, S3: client CPU vs rclone", versus("64 MB, S3", "rclone", "cpu_ms"), 1.1, 0.9, is_least=False),
    Bar("64 MB stream, null: MB/s vs curl", figure("stream vs curl"), 0.4, 0.55),
    Bar("64 MB stream, null: MB/s vs upload_fileobj", figure("stream vs upload_fileobj"), 2, 3),
    Bar("10 × 64 MB, null: uploads/s vs naive -c2", versus("64 MB, null", "naive -c2"), 3, 4),
    Bar("20/s: p50 vs naive -c2", versus("200 KB, S3, 20/s", "naive -c2", "p50_ms"), 0.9, 0.75, is_least=False),
    Bar("20/s: p99 vs naive -c2", versus("200 KB, S3, 20/s", "naive -c2", "p99_ms"), 1.0, 0.8, is_least=False),
    Bar(
        "worker peak, 64 MB minus 200 KB",
        figure("memory growth, 1 slot", "memory growth, 16 slots"),
        8,
        2,
        is_least=False,
        unit="MB",
    ),
    Bar(
        "worker peak at any size",
        figure("memory peak, 1 slot", "memory peak, 16 slots"),
        130,
        110,
        is_least=False,
        unit="MB",
    ),
    Bar(
        "worker peak, export of 1,000 × 200 KB",
        figure("export of 1,000: worker peak, MB"),
        150,
        140,
        is_least=False,
        unit="MB",
    ),
    Bar("claim + settle, RLS and grant vs without", figure("claims vs without"), 0.9, 0.97),
    Bar("fair dispatch of 100 vs ORDER BY, 1 M rows", figure("dispatch vs plain"), 2.5, 1.5, is_least=False),
    Bar("fair dispatch of 100, 1 M rows: p99", figure("dispatch p99"), 10, 5, is_least=False, unit="ms"),
)


def verdicts(results: Results) -> list[Verdict]:
    return [Verdict(bar, bar.value(results)) for bar in BARS]

"""What was found, for a terminal and for a page. Pure, but for Rich's own tables."""

from collections.abc import Sequence

from rich.table import Table

from bench.bars import Verdict
from bench.sample import Results, Spread, Summary


def shown(spread: Spread | None) -> str:
    """The median, and in brackets the range."""
    if spread is None:
        return ""
    return f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})"


def number(value: float) -> str:
    """Three digits, or as many as stand before the point."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(results: Results) -> Table:
    table = Table("cell", "peer", "uploads/s", "client CPU ms", "peak MB", "together MB", "p50 / p95 / p99 ms")
    for column in table.columns[2:]:
        column.justify = "right"
    last = ""
    for found in results.summaries():
        if found.cell != last and last:
            table.add_section()
        table.add_row("" if found.cell == last else found.cell, found.peer, *_measures(found))
        last = found.cell
    return table


def _measures(found: Summary) -> tuple[str, ...]:
    if found.error and found.cpu_ms is None:
        return (f"failed: {found.error[:60]}",)
    latency = " / ".join(number(spread.median) for spread in (found.p50_ms, found.p95_ms, found.p99_ms) if spread)
    return shown(found.rate), shown(found.cpu_ms), peak(found.rss_mb), peak(found.pss_mb), latency


def peak(spread: Spread | None) -> str:
    return "" if spread is None else number(spread.high)


def figures(results: Results) -> Table:
    table = Table("measured", "median (range)")
    table.columns[1].justify = "right"
    for name, spread in results.figures.items():
        table.add_row(name, shown(spread))
    return table


def bars(found: Sequence[Verdict]) -> Table:
    table = Table("what must be seen", "measured", "bar", "aim", "")
    for column in table.columns[1:4]:
        column.justify = "right"
    for verdict in found:
        table.add_row(verdict.bar.name, *limits(verdict), mark(verdict))
    return table


def limits(verdict: Verdict) -> tuple[str, str, str]:
    bar = verdict.bar
    value = "not measured" if verdict.value is None else f"{number(verdict.value)} {bar.unit}"
    sign = "≥" if bar.is_least else "≤"
    return value, f"{sign} {number(bar.bar)}", f"{sign} {number(bar.aim)}"


def mark(verdict: Verdict) -> str:
    if verdict.value is None:
        return ""
    return "aim" if verdict.is_aim_met else "met" if verdict.is_met else "MISSED"

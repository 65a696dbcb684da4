"""The numbers in docs/performance.md are written by the run that measured them. Pure, but for ``write_into``.

<!-- bench: NAME -->
… what was there is replaced …
<!-- /bench -->
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.bars import Verdict
from bench.sample import Results, Spread
from bench.table import limits, mark, number, peak, shown


def replaced(text: str, sections: Mapping[str, str]) -> str:
    """The page with these sections renewed. KeyError for a section that the page does not have."""
    for name, content in sections.items():
        pattern = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- /bench -->)", re.DOTALL)
        if not pattern.search(text):
            raise KeyError(name)
        text = pattern.sub(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)  # type: ignore[misc]
    return text


def write_into(path: str, sections: Mapping[str, str]) -> None:
    """Nothing, where no page is named."""
    if path:
        Path(path).write_text(replaced(Path(path).read_text(), sections))


def sections(results: Results, verdicts: Sequence[Verdict], machine: str) -> dict[str, str]:
    """Of the comparison. ``machine``: a sentence or two."""
    return {
        "bars": f"{machine}\n\n{bars(verdicts)}",
        "cells": cells(results),
        "figures": figures(results.figures),
    }


def bars(verdicts: Sequence[Verdict]) -> str:
    rows = [(verdict.bar.name, *limits(verdict), mark(verdict)) for verdict in verdicts]
    return rows_of(("ratio", "measured", "bar", "aim", ""), rows)


def cells(results: Results) -> str:
    rows = []
    for found in results.summaries():
        latency = " / ".join(number(spread.median) for spread in (found.p50_ms, found.p95_ms, found.p99_ms) if spread)
        measures = shown(found.rate), shown(found.cpu_ms), peak(found.rss_mb), peak(found.pss_mb), latency
        rows.append((found.cell, found.peer, *measures[:-1], f"{latency} {found.error}".strip()))
    heads = ("cell", "peer", "uploads/s", "client CPU ms", "peak MB", "together MB", "p50 / p95 / p99 ms")
    return rows_of(heads, rows)


def figures(found: Mapping[str, Spread]) -> str:
    return rows_of(("measured", "median (range)"), [(name, shown(spread)) for name, spread in found.items()])


def rows_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown. What would end a cell or a line in it does not."""
    lines = [heads, ["---"] * len(heads), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())

"""What a run leaves: tables on the terminal, and everything as JSON."""

import json
from pathlib import Path

from rich.console import Console

from bench.bars import verdicts
from bench.sample import Results
from bench.table import bars, cells, figures


def show(console: Console, results: Results) -> None:
    console.print(cells(results))
    if results.figures:
        console.print(figures(results))
    console.print(bars(verdicts(results)))


def as_json(here: dict[str, object], results: Results) -> dict[str, object]:
    return {
        "machine": here,
        "cells": [found.as_json() for found in results.summaries()],
        "figures": {name: spread.as_json() for name, spread in results.figures.items()},
        "bars": [verdict.as_json() for verdict in verdicts(results)],
        "errors": [{"cell": cell, "peer": peer, "error": said} for (cell, peer), said in results.errors.items()],
    }


def write(path: str, found: dict[str, object]) -> None:
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(found, indent=1) + "\n")

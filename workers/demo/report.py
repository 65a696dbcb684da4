"""The end of the demo, for people: a table by organisation, the checks, and where to go from here."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from workers.demo.check import Check
from workers.demo.evidence import Evidence
from workers.demo.results import Numbers, by_organisation

_MB = 1_000_000
_WIDE = 92


def report(console: Console, evidence: Evidence, checks: Sequence[Check], *, elapsed_s: float) -> None:
    """Made for 100 columns, readable in 80."""
    total = Numbers.of(evidence.rows)
    codes = tuple(total.failed_by_code) if console.width >= _WIDE else ()
    console.print(table(evidence, total, codes))
    if total.failed and not codes:
        console.print("failed: " + ", ".join(f"{count} {code}" for code, count in total.failed_by_code.items()))
    console.print()
    console.print(marked(checks))
    for check in checks:
        if not check.ok:
            console.print(Padding(Text(f"{check.name}: {check.detail}", "red"), (0, 0, 0, 2)))
    console.print()
    console.print(verdict(checks, elapsed_s=elapsed_s))
    console.print()
    console.print(what_next())


def table(evidence: Evidence, total: Numbers, codes: Sequence[str]) -> Table:
    """A column for each failure code, or one for all where there are no codes to show."""
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_footer=True, footer_style="bold", header_style="bold")
    shown.add_column("organisation", footer="together", no_wrap=True, vertical="bottom")
    for heading, footer in zip(_headings(codes), _cells(total, codes), strict=True):
        shown.add_column(heading, footer=footer, justify="right", no_wrap=True)
    for name, numbers in zip(evidence.names, by_organisation(evidence).values(), strict=True):
        shown.add_row(name, *_cells(numbers, codes))
    return shown


def _headings(codes: Sequence[str]) -> list[str]:
    """A code in two lines: four of them beside each other still fit."""
    failures = [code.replace("_", "_\n", 1) for code in codes] or ["failed"]
    return ["enqueued", "stored", "retried", *failures, "MB", "p50 s", "p95 s"]


def _cells(numbers: Numbers, codes: Sequence[str]) -> list[Text]:
    failed = [numbers.failed_by_code.get(code, 0) for code in codes] or [numbers.failed]
    return [
        Text(str(numbers.enqueued)),
        Text(str(numbers.completed), "green"),
        Text(str(numbers.retried), "yellow" if numbers.retried else "dim"),
        *(Text(str(count), "red" if count else "dim") for count in failed),
        Text(f"{numbers.bytes / _MB:.1f}"),
        *(Text("-" if time_s is None else f"{time_s:.2f}") for time_s in (numbers.p50_s, numbers.p95_s)),
    ]


def marked(checks: Sequence[Check]) -> Table:
    shown = Table.grid(padding=(0, 1))
    shown.add_column()
    shown.add_column(no_wrap=True)
    shown.add_column()
    for check in checks:
        if check.ok:
            shown.add_row(Text("✓", "green"), check.name, Text(f" {check.detail}", "dim"))
        else:
            shown.add_row(Text("✗", "bold red"), Text(check.name, "bold red"), Text(" see below", "red"))
    return shown


def verdict(checks: Sequence[Check], *, elapsed_s: float) -> Text:
    wrong = sum(not check.ok for check in checks)
    if wrong:
        return Text(f"{wrong} of {len(checks)} checks failed, in {elapsed_s:.0f} s.", "bold red")
    return Text(f"All {len(checks)} checks passed, in {elapsed_s:.0f} s.", "bold green")


def what_next() -> Table:
    command = recordings_command()
    shown = Table.grid(padding=(0, 3))
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True, style="dim")
    shown.add_row("make test", "every test, on the same real servers")
    shown.add_row(f"{command} up --detach", "the same stack, to stay")
    shown.add_row(f"{command} env --role call_handler", "the login that enqueues")
    shown.add_row("docs/architecture.md", "how it works, and why")
    return shown


def recordings_command() -> str:
    """As this person can type it: bare where it is on the PATH, else the way it was called."""
    called = Path(sys.argv[0])
    if called.name != "recordings" or shutil.which("recordings"):
        return "recordings"
    relative = os.path.relpath(called)
    return relative if not relative.startswith("..") else str(called)

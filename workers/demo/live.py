"""The demo on a terminal, while it runs: a bar for each organisation, counters, and the latest events."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.constrain import Constrain
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from workers.demo.observer import Snapshot

BAR = 32
COUNTS = 38
WIDTH = 100
EVENTS = 9
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    at_s: float
    text: str
    is_milestone: bool = False


def latest(events: Sequence[Event], count: int) -> tuple[Event, ...]:
    """As many of them; the oldest notes go first, milestones stay as long as there is room."""
    kept = list(events)
    while len(kept) > count:
        kept.pop(next((place for place, event in enumerate(kept[:-1]) if not event.is_milestone), 0))
    return tuple(kept)


@dataclass(slots=True)
class Screen:
    """Redrawn in place eight times a second, by Rich's thread; gone when it is left: the report stands alone."""

    console: Console
    names: tuple[str, ...]
    calls: int
    began: float = field(default_factory=time.monotonic)
    phase: str = "starting PostgreSQL, Valkey, S3, the dispatcher, two workers and Flower"
    snapshot: Snapshot = field(default_factory=Snapshot)
    events: tuple[Event, ...] = ()
    _live: Live = field(init=False)
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    def __enter__(self) -> Self:
        self._live = Live(self, console=self.console, refresh_per_second=8, transient=True)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def part(self, name: str) -> None:
        if name == "stack":
            self.phase = "calls end, recordings are stored"
        else:
            self.note(f"{name} is ready")

    def milestone(self, text: str) -> None:
        self._tell(Event(time.monotonic() - self.began, text, is_milestone=True))
        if text.startswith(("checking", "stopping")):
            self.phase = text

    def note(self, text: str) -> None:
        self._tell(Event(time.monotonic() - self.began, text))

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def _tell(self, event: Event) -> None:
        """Replaced whole, since Rich's thread reads it."""
        self.events = latest((*self.events, event), EVENTS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Always as many lines: what jumps cannot be read."""
        bars = self._bars(min(options.max_width, WIDTH))
        yield Constrain(Group(self._title(), Text(), bars, Text(), self._counters(), Text(), self._feed()), WIDTH)

    def _title(self) -> Table:
        title = Table.grid(expand=True)
        title.add_column(no_wrap=True)
        title.add_column(justify="right", no_wrap=True)
        self._spinner.update(text=Text(self.phase, "bold"))
        title.add_row(self._spinner, Text(f"{time.monotonic() - self.began:5.1f} s", "dim"))
        return title

    def _bars(self, width: int) -> Table:
        length = max(8, min(BAR, width - max(map(len, self.names)) - COUNTS))
        bars = Table.grid(padding=(0, 2))
        bars.add_column(no_wrap=True)
        bars.add_column(width=length, no_wrap=True)
        for _ in range(3):
            bars.add_column(justify="right", no_wrap=True)
        standing = {
            row.name: (row.completed, row.failed, row.pending + row.processing) for row in self.snapshot.organisations
        }
        for name in self.names:
            stored, failed, waiting = standing.get(name, (0, 0, 0))
            counts = (f"{stored:3d} stored", f"{failed:2d} failed", f"{waiting:3d} waiting")
            styles = ("green", "red" if failed else "dim", "yellow" if waiting else "dim")
            bars.add_row(name, bar(stored, failed, self.calls, width=length), *map(Text, counts, styles))
        return bars

    def _counters(self) -> Text:
        now = self.snapshot
        counted = {"in flight": len(now.held), "retried": now.retried, "snoozed": now.snoozed}
        shown = Text("   ").join(Text.assemble((f"{count:3d}", "cyan"), f" {name}") for name, count in counted.items())
        return shown + Text.assemble("   ", (f"{now.stored_bytes / _MB:6.1f}", "cyan"), " MB stored")

    def _feed(self) -> Table:
        feed = Table.grid(padding=(0, 1))
        feed.add_column(justify="right", no_wrap=True, min_width=7)
        feed.add_column(no_wrap=True, overflow="ellipsis")
        for event in self.events:
            feed.add_row(Text(f"{event.at_s:.1f} s", "dim"), Text(event.text, "bold" if event.is_milestone else "dim"))
        for _ in range(EVENTS - len(self.events)):
            feed.add_row()
        return feed


def bar(stored: int, failed: int, total: int, *, width: int = BAR) -> Text:
    """Green what is stored, red what has failed, dim what is to come."""
    settled = width * min(stored + failed, total) // total
    red = min(settled, -(-width * failed // total)) if failed else 0
    return Text.assemble(
        ("━" * (settled - red), "green"), ("━" * red, "red"), ("━" * (width - settled), "bright_black")
    )

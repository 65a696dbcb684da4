"""What a run is asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Options:
    quick: bool = False
    rounds: int = 3
    only: str = ""
    """Of the comparison, the cells and peers that have this in their name."""
    tell: Callable[[str], None] = field(default=print)
    """Hears a line of progress."""


def terminal() -> Console:
    """Wide enough for the tables where nobody says how wide it is: in a pipe or a file."""
    found = Console()
    return found if found.is_terminal else Console(width=120)


def teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)

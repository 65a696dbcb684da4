"""python -m bench [PART…] [--quick] [--rounds N] [--only WORD] [--json FILE] [--picture FILE] [--page FILE]

Parts: compare, stream, claims, dispatch, memory, export; all of them if none is named. Growth and soak are programs of
their own.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.bars import verdicts
from bench.claims import claims
from bench.compare import compare
from bench.dispatching import dispatching
from bench.export import export
from bench.ground import Ground, ground
from bench.machine import in_words, machine
from bench.memory import memory
from bench.options import Options, teller, terminal
from bench.page import sections, write_into
from bench.picture import ratios
from bench.report import as_json, show, write
from bench.sample import Results
from bench.stream import stream

Part = Callable[[Ground, Results, Options], None]
PARTS: dict[str, Part] = {
    "compare": compare,
    "stream": stream,
    "claims": claims,
    "dispatch": dispatching,
    "memory": memory,
    "export": export,
}


def main(argv: Sequence[str]) -> int:
    asked = parse(argv)
    console = terminal()
    tell = teller(console)
    options = Options(asked.quick, asked.rounds or (1 if asked.quick else 3), asked.only, tell)
    results, here, began = Results(), machine(), time.monotonic()
    tell(f"on {in_words(here)}")
    is_interrupted = False
    try:
        with ground() as made:
            for name in asked.parts or PARTS:
                attempt(name, made, results, options)
    except KeyboardInterrupt:
        is_interrupted = True
        tell("interrupted: what follows is what was measured until then; page and picture stay as they were")
    show(console, results)
    tell(f"{(time.monotonic() - began) / 60:.1f} minutes")
    write(asked.json, as_json(here, results))
    if is_interrupted:
        return 130
    note = " Quick run: a tenth of the uploads, one round." if asked.quick else ""
    write_into(asked.page, sections(results, verdicts(results), in_words(here) + "." + note))
    if asked.picture:
        Path(asked.picture).write_text(ratios(verdicts(results), in_words(here)))
    return 1 if results.errors else 0


def attempt(name: str, made: Ground, results: Results, options: Options) -> None:
    """A part that fails is reported like a peer that does, and ends nothing else."""
    try:
        PARTS[name](made, results, options)
    except Exception as error:  # noqa: BLE001 - said, and the run goes on
        results.errors[name, "project"] = f"{type(error).__name__}: {error}"
        options.tell(f"{name} failed: {type(error).__name__}: {error}")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure this system beside its peers.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all of them")
    parser.add_argument("--quick", action="store_true", help="a tenth of the uploads, one round: does it run?")
    parser.add_argument("--rounds", type=int, default=0, help="default: 3, of a quick run 1")
    parser.add_argument("--only", default="", help="cells with this in their name, or one peer")
    parser.add_argument("--json", default="", metavar="FILE", help="write everything there")
    parser.add_argument("--picture", default="", metavar="FILE", help="draw the ratios there (SVG)")
    parser.add_argument("--page", default="", metavar="FILE", help="renew the numbers of that page (Markdown)")
    asked = parser.parse_args(argv)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

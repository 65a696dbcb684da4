"""``recordings doctor``: what is wrong with a deployment, and what to do about it."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption
from workers.doctor.examination import examine
from workers.doctor.patient import PARTS, Patient
from workers.doctor.result import Result, Verdict
from workers.embedded.errors import EmbeddedError

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.WRONG: ("✗", "red"),
    Verdict.UNSEEN: ("·", "dim"),
}


def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings as well.")] = False,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Check a deployment: what is wrong, and a remedy each. Exits with 1 if anything is.

    Looks at what DATABASE_URL, REDIS_URL, RECORDINGS_BUCKET with AWS_*, and FLOWER_URL name, and says what it could not
    look at; as an administrator it sees most. Else at the running `recordings up`. Changes nothing: a trial object in
    the bucket, under doctor/, is removed again.
    """
    results = tuple(examine(_patient(state)))
    counts = Counter(result.verdict for result in results)
    if json_out:
        found = {verdict.value: counts[verdict] for verdict in Verdict}
        typer.echo(json.dumps({"counts": found, "results": [result.as_json() for result in results]}))
    else:
        _print(results, counts)
    if counts[Verdict.WRONG] or (strict and counts[Verdict.WARNING]):
        raise typer.Exit(1)


def _patient(directory: Path) -> Patient:
    if directory == DEFAULT_STATE and any(os.environ.get(name) for name in PARTS):
        return Patient.of_environment()
    found = Patient.of_state(directory)
    if found is None and directory != DEFAULT_STATE:
        raise EmbeddedError(f"no stack is running on {directory}: start one with `recordings up`")
    return found or Patient.of_environment()


def _print(results: Sequence[Result], counts: Counter[Verdict]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for result in results:
        mark, style = _MARKS[result.verdict]
        console.print(Text.assemble((mark, style), f" {result.check:<26} ", result.sentence))
        if result.remedy:
            console.print(Text(f"  {'':<26} → {result.remedy}", "dim" if result.verdict == Verdict.UNSEEN else style))
    said = (f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
    console.print(Text(", ".join(said), "bold"))

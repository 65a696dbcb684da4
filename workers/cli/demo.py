"""`recordings demo`: the main job on one screen."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from workers.cli.faults import plainly
from workers.cli.options import JsonOption

if TYPE_CHECKING:
    from workers.demo.script import Script
    from workers.demo.view import View

WORKERS = 2
LOG_WIDTH = 100


def demo(
    orgs: Annotated[int, typer.Option(min=2, max=20, help="Organisations; two at least, to be kept apart.")] = 3,
    calls: Annotated[int, typer.Option(min=1, max=2000, help="Calls of each.")] = 40,
    json_out: JsonOption = False,
) -> None:
    """Show the main job: calls of three clinics, a provider that misbehaves, a worker killed. Then check everything.

    Starts the whole system in a temporary folder and leaves nothing behind. Exit code 1 if any check fails.
    """
    # Half a second that no other command is to pay.
    from workers.demo.checks import judge, nothing_left  # noqa: PLC0415
    from workers.demo.report import report  # noqa: PLC0415
    from workers.demo.results import as_json  # noqa: PLC0415
    from workers.demo.run import play  # noqa: PLC0415
    from workers.demo.script import write  # noqa: PLC0415
    from workers.demo.stage import stage  # noqa: PLC0415

    forget_other_servers()
    began = time.monotonic()
    script = write(organisations=orgs, calls=calls)
    with plainly(), view_of(script, calls, is_quiet=json_out) as view:
        with stage(workers=WORKERS, tell=view.part, stopping=lambda: view.milestone("stopping everything")) as here:
            evidence = play(here, script, view)
        checks = (*judge(evidence), nothing_left(here.left(), len(here.seen)))
    elapsed_s = time.monotonic() - began
    if json_out:
        typer.echo(json.dumps(as_json(evidence, checks, elapsed_s=elapsed_s)))
    else:
        console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=LOG_WIDTH)
        report(console, evidence, checks, elapsed_s=elapsed_s)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def forget_other_servers() -> None:
    """What is set here for other servers (PGHOSTADDR, AWS_PROFILE, a proxy) would bend the demo's own connections."""
    for name in list(os.environ):
        if name.startswith(("PG", "AWS_")) or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del os.environ[name]
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


@contextmanager
def view_of(script: "Script", calls: int, *, is_quiet: bool) -> "Iterator[View]":
    """To stderr: redrawn on a terminal, plain lines elsewhere, nothing for those who want JSON."""
    from workers.demo.live import Screen  # noqa: PLC0415
    from workers.demo.view import Lines, Silent  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a check mark is not worth a crash on a terminal that has none
    if is_quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with Screen(Console(stderr=True, highlight=False), script.names, calls) as screen:
            yield screen
    else:
        yield Lines(total=len(script.calls))

"""`recordings up`, `down` and `env`: the whole system on this machine."""

import json
import shlex
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.status import Status
from rich.table import Table

from workers.cli.faults import plainly
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption
from workers.embedded import detached
from workers.embedded.environment import ROLES, environment, flower_login, flower_url
from workers.embedded.errors import EmbeddedError
from workers.embedded.size import default_workers
from workers.embedded.stack import WHOLE, Stack
from workers.embedded.state import State, load
from workers.embedded.supervisor import supervise

SHOWN_PORTS = {"postgres": "postgres", "valkey": "valkey", "seaweedfs": "s3.port", "flower": "flower"}


class Progress:
    """One line a part, as it gets ready. On a terminal, under them what is being waited for."""

    def __init__(self, console: Console, status: Status) -> None:
        self.console, self.status = console, status
        self.began = time.monotonic()

    def __call__(self, part: str) -> None:
        after_s = time.monotonic() - self.began
        if part != WHOLE:
            self.console.print(f"[green]✓[/green] {part:<12} [dim]{after_s:5.1f} s[/dim]")


def up(
    state: StateOption = DEFAULT_STATE,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Worker processes. Default: half of the cores, 2 to 8.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Threads in each worker.")] = 8,
    renditions: Annotated[
        int, typer.Option(min=0, max=64, help="Processes that make other formats; 0: none are made.")
    ] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    json_out: JsonOption = False,
) -> None:
    """Start PostgreSQL, Valkey, S3, the dispatcher, workers and Flower on this machine. Ctrl-C drains and stops."""
    console = Console(stderr=True, quiet=json_out, highlight=False)
    workers = workers or default_workers()
    with plainly():
        is_first = not load(state).first_ready_at
        status = console.status("starting …")
        progress = Progress(console, status)

        def ready(started: State) -> None:
            status.stop()
            show(console, started, is_first=is_first, json_out=json_out)

        sizes = {"workers": workers, "concurrency": concurrency, "renditions": renditions}
        with status:
            if detach:
                ready(detached.start(state, **sizes, tell=progress))
                return
            stack = Stack(state, **sizes, tell=progress)
            supervise(stack, ready=lambda: ready(stack.state), stopping=lambda: drain(console, status))
        console.print("stopped")


def drain(console: Console, status: Status) -> None:
    console.print("draining; Ctrl-C again to stop at once")
    status.update("draining …")
    status.start()


def show(console: Console, state: State, *, is_first: bool, json_out: bool) -> None:
    if json_out:
        listening = {name: state.ports[port] for name, port in SHOWN_PORTS.items()}
        typer.echo(json.dumps({"state": str(state.directory), "ports": listening, "flower_url": flower_url(state)}))
        return
    table = Table.grid(padding=(0, 2))
    for name, port in SHOWN_PORTS.items():
        table.add_row(name, flower_url(state) if name == "flower" else f"127.0.0.1:{state.ports[port]}")
    if is_first:  # once: it stays in `recordings env --role admin`
        table.add_row("flower login", flower_login(state))
    table.add_row("logs", str(state.directory / "logs"))
    where = "" if state.directory == DEFAULT_STATE.resolve() else f" --state {shlex.quote(str(state.directory))}"
    for label, command in (("enqueue as", "env --role call_handler"), ("look", "status"), ("stop", "down")):
        table.add_row(label, f"recordings {command}{where}")
    console.print(Panel(table, title="running", title_align="left", expand=False))


def down(state: StateOption = DEFAULT_STATE, json_out: JsonOption = False) -> None:
    """Drain the workers and stop everything that `recordings up` started."""
    console = Console(stderr=True, quiet=json_out, highlight=False)
    with plainly(), console.status("draining …"):
        stopped = detached.stop(state)
    if json_out:
        typer.echo(json.dumps({"state": str(state.resolve()), "stopped": stopped}))
    elif stopped:
        console.print(f"stopped: {', '.join(stopped)}", soft_wrap=True)
    else:
        console.print(f"nothing is running on {state.resolve()}")


def env(
    state: StateOption = DEFAULT_STATE,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}; all of them if not given.")] = "",
    json_out: JsonOption = False,
) -> None:
    """Print a role's settings for the running stack: eval "$(recordings env --role call_handler)"."""
    if role and role not in ROLES:
        raise typer.BadParameter(f"there is no role {role}: choose one of {', '.join(ROLES)}", param_hint="--role")
    with plainly():
        found = load(state)
        if not found.is_supervised() or "schema" not in found.ready:
            raise EmbeddedError(f"no stack is running on {found.directory}: start one with `recordings up`")
        settings = {name: environment(found, name) for name in ([role] if role else ROLES)}
    if json_out:
        typer.echo(json.dumps(settings, indent=2))
        return
    for name, values in settings.items():
        heading = [] if role else [f"# {name}"]
        lines = (f"export {setting}={shlex.quote(value)}" for setting, value in values.items())
        sys.stdout.write("\n".join([*heading, *lines]) + "\n")

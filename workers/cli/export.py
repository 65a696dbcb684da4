"""``recordings export``: many recordings of a user's organisation as one ZIP."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from workers.cli.arrival import bring, check
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption
from workers.cli.user import ForceOption, OutOption, ReasonOption, TokenOption, signed_in
from workers.pickup import Link, Pickup
from workers.telemetry import configure_logging


def export(
    token: TokenOption,
    call_ids: Annotated[list[UUID] | None, typer.Argument(help="The calls whose recordings they are.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Instead: calls that began then or later (UTC).")] = None,
    before: Annotated[datetime | None, typer.Option(help="Instead: calls that began before (UTC).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Instead: every recording that is stored.")] = False,
    out: OutOption = None,
    reason: ReasonOption = "asked for by hand",
    force: ForceOption = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for the ZIP.")] = 3600.0,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Download many recordings as a signed-in user: one ZIP, with a manifest of their SHA-256."""
    configure_logging("WARNING")
    criteria = _criteria(since, before)
    if [bool(call_ids), bool(criteria), everything].count(True) != 1:
        raise typer.BadParameter("say which: ids of calls, or --since and --before, or --all")
    check(out or Path("recordings.zip"), force=force or out is None)
    with signed_in(token, state) as pickup:
        asked = pickup.ask_for_many(call_ids or None, criteria, reason)
        target = out or Path(f"recordings-{asked}.zip")
        check(target, force=force)
        link = _wait(pickup, asked, within_s, quiet=json_out)
        bring(link, target, quiet=json_out)
    said = {"export_id": str(asked), "file": str(target), "size_bytes": link.size_bytes, "sha256": link.sha256}
    typer.echo(
        json.dumps(said)
        if json_out
        else f"{target}: {link.size_bytes:,} bytes, SHA-256 {link.sha256}; see manifest.csv"
    )


def _criteria(since: datetime | None, before: datetime | None) -> Mapping[str, str]:
    times = {"started_from": since, "started_before": before}
    return {name: f"{at.isoformat()}Z" for name, at in times.items() if at is not None}


def _wait(pickup: Pickup, asked: UUID, within_s: float, *, quiet: bool) -> Link:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as shown:
        bar = shown.add_task("packing", total=None)
        return pickup.wait_for_zip(asked, within_s, lambda done, of: shown.update(bar, completed=done, total=of))

"""``recordings download``: a user's recording into a file, the way that an API would go."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from workers.cli.arrival import bring, check
from workers.cli.options import DEFAULT_STATE, JsonOption, StateOption
from workers.cli.user import ForceOption, OutOption, ReasonOption, TokenOption, signed_in
from workers.telemetry import configure_logging


class Wanted(StrEnum):
    """What a recording can be had in."""

    MP3 = "mp3"
    OGG = "ogg"
    FLAC = "flac"
    WAV = "wav"


def download(
    call_id: Annotated[UUID, typer.Argument(help="The call whose recording it is.")],
    token: TokenOption,
    out: OutOption = None,
    wanted: Annotated[
        Wanted | None, typer.Option("--format", help="Encoded anew in this format; as it is stored, if not said.")
    ] = None,
    reason: ReasonOption = "asked for by hand",
    force: ForceOption = False,
    within_s: Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for the link.")] = 60.0,
    state: StateOption = DEFAULT_STATE,
    json_out: JsonOption = False,
) -> None:
    """Download a call's recording as a signed-in user, and compare its SHA-256 with what was stored."""
    configure_logging("WARNING")
    # Before anything is asked for, which stays on record.
    check(out or Path("recording"), force=force or out is None)
    with signed_in(token, state) as pickup:
        asked = pickup.ask(call_id, reason, wanted)
        link = pickup.wait(asked, within_s)
        target = out or Path(f"recording-{call_id}.{link.format}")
        check(target, force=force)
        bring(link, target, quiet=json_out)
    size_bytes = target.stat().st_size
    said = {"download_id": str(asked), "file": str(target), "size_bytes": size_bytes, "sha256": link.sha256}
    typer.echo(json.dumps(said) if json_out else f"{target}: {size_bytes:,} bytes, SHA-256 {link.sha256} as stored")

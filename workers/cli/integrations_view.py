"""Stored credentials as people read them: whose, for which provider, under which key. Never a value."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from workers.cli import failures_view as view
from workers.credentials import SealKey
from workers.integrations import Integration, Rotation
from workers.sources.probe import Answer


def as_json(one: Integration) -> dict[str, Any]:
    return asdict(one) | {"age_s": _age_s(one)}


def table(found: Sequence[Integration]) -> Table:
    shown = Table("org", "organisation", "provider", "key", "age", "set (UTC)", box=None, pad_edge=False)
    for one in found:
        age = f"{_age_s(one) // 86_400} d"
        row = (str(one.org_id), one.organisation, one.provider, one.key_id or "none", age, view.at(one.updated_at))
        shown.add_row(*map(Text, row))
    return shown


def tell_answer(org: UUID, provider: str, answer: Answer, *, json_out: bool) -> None:
    if json_out:
        said = {"outcome": answer.outcome.value, "status": answer.status, "why": answer.why}
        view.print_json({"org_id": org, "provider": provider} | said)
        return
    status = "" if answer.status is None else f" ({answer.status})"
    typer.echo(f"{answer.outcome.value}{status}: {answer.why}")


def tell_rotation(rotation: Rotation, keys: Sequence[SealKey], left: Sequence[Integration]) -> None:
    typer.echo(f"{rotation.results['resealed']} sealed again under {keys[0].kid}, {len(left)} remain under other keys")
    if rotation.unopenable:
        typer.echo("no key here opens these: set them anew, or give the key that sealed them as well")
        view.console().print(table(rotation.unopenable))
    elif left:
        typer.echo("somebody stored credentials under an older key meanwhile: run this again")
    elif len(keys) > 1:
        olds = ", ".join(key.kid for key in keys[1:])
        typer.echo(f"nothing needs {olds} any more: take it out of RECORDINGS_SEAL_KEY everywhere")


def _age_s(one: Integration) -> int:
    """Since the value that is there was stored; sealing it again counts."""
    return max(int((datetime.now(UTC) - one.updated_at).total_seconds()), 0)

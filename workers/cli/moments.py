"""Moments, as people write them on a command line."""

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment(text: str) -> datetime:
    """``2h`` or ``3d`` ago, or an ISO time: in UTC, where it does not say otherwise."""
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time: write 30m, 2h or 3d for that long ago, or 2026-01-31T08:00:00Z"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

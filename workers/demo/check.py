"""A check: what must be true, whether it is, and what was found."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 2


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` is proof where it is well, the first examples where it is not."""

    name: str
    ok: bool
    detail: str


def judged(name: str, wrong: Iterable[str], well: str) -> Check:
    """Well if nothing is wrong."""
    found = list(wrong)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Check(name, not found, ", ".join(found[:SHOWN]) + more if found else well)

"""What a check says."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be: ``code`` is the check, ``remedy`` is SQL or what to do.

    A warning is about the server, whose mending is not this schema's; an error is a hole or a missing lock.
    """

    code: str
    object: str
    sentence: str
    remedy: str
    level: Literal["error", "warning"] = "error"

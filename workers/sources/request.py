"""What to fetch, with which credentials, and what the provider's answers mean: an adapter's whole result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from types import MappingProxyType

from workers.errors import (
    AttemptError,
    SourceError,
    SourceForbidden,
    SourceGone,
    SourceNotReady,
    SourceThrottled,
)

OK = 200
_NOT_FOUND = 404
_REFUSED = (401, 402, 403)
_TOO_MANY = 429
_UNAVAILABLE = 503
_MEANINGS: Mapping[int, type[AttemptError]] = MappingProxyType(
    {202: SourceNotReady, 410: SourceGone, 425: SourceNotReady, 451: SourceGone, _TOO_MANY: SourceThrottled}
)
_LONGEST_WAIT_S = 86_400.0
MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Request:
    """``authorization`` is sent to ``authorization_hosts`` only (a name, or a suffix that begins with a dot), and not
    after a redirect has led elsewhere. URL and secret stay out of reprs, and so out of logs."""

    url: str = field(repr=False)
    authorization: str | None = field(default=None, repr=False)
    authorization_hosts: tuple[str, ...] = ()
    not_found: type[AttemptError] = SourceGone
    refused: type[AttemptError] = SourceForbidden
    redirects: int = MAX_REDIRECTS

    def authorization_for(self, host: str) -> str | None:
        own = any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.authorization_hosts)
        return self.authorization if own else None

    def failure(self, status: int, retry_after: str | None) -> AttemptError | None:
        """What an answer with this status means for the attempt; None: the recording follows (DESIGN section 7)."""
        if status == OK:
            return None
        wait_s = retry_after_s(retry_after, now=time())
        if status == _TOO_MANY or (status == _UNAVAILABLE and wait_s is not None):
            return SourceThrottled(retry_after_s=wait_s)
        own = {_NOT_FOUND: self.not_found, **dict.fromkeys(_REFUSED, self.refused)}
        meaning = own.get(status) or _MEANINGS.get(status)
        return SourceError(f"The provider answered with status {status}.") if meaning is None else meaning()


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Seconds to wait as a Retry-After header has it, as a number or a date; None if it says nothing usable. Never
    negative, never more than a day: the header is outside input."""
    if value is None:
        return None
    try:
        wait_s = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _LONGEST_WAIT_S)

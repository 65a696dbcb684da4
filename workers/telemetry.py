"""Logs: one JSON object a line, a static event name, ids and codes beside it (law 7).

A library below us may put a URL into an exception's text, so whatever looks like one leaves here as ``[url]``, and a
grant as ``[token]``.
"""

import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# A URL; what urllib3 says instead ("url: /path?signature"); a JWT, which task grants are, also one that was cut short.
_SECRET = re.compile(
    r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+|(?<=\burl: )[^\s'\"<>]+|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}", re.IGNORECASE
)


def redact(text: str) -> str:
    """The text without what may be a secret in it: a URL can carry a signature, a password or a token."""
    return _SECRET.sub(lambda found: "[token]" if found[0].startswith("eyJ") else "[url]", text)


def _redacted(value: Any) -> Any:
    """However deep: Celery's own lines bring a dictionary, and errors in it."""
    if isinstance(value, str):  # first, being the most: the others ask an abstract class
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in value]
    return redact(str(value))


#: What the library puts on every record; the rest is the caller's.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "recording_fields"}


class _Line(logging.Formatter):
    """Our events and the lines of the libraries below us, in one form."""

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {name: value for name, value in vars(record).items() if name not in _USUAL}
        event |= getattr(record, "recording_fields", {})
        event["event"], event["level"] = record.getMessage(), record.levelname.lower()
        event["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(_redacted(event))


@dataclass(frozen=True, slots=True)
class Log:
    """Writes to the standard library's logger of this name, so whoever runs us may send the lines elsewhere."""

    to: logging.Logger
    bound: Mapping[str, Any] = field(default_factory=dict)

    def bind(self, **fields: Any) -> "Log":
        """One that says these with every event."""
        return Log(self.to, {**self.bound, **fields})

    def info(self, event: str, **fields: Any) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """The error that is being handled goes with it, redacted as the rest."""
        self._write(logging.ERROR, event, fields, is_failure=True)

    def _write(self, level: int, event: str, fields: dict[str, Any], *, is_failure: bool = False) -> None:
        if self.to.isEnabledFor(level):
            self.to.log(level, event, exc_info=is_failure, extra={"recording_fields": {**self.bound, **fields}})


def configure_logging(level: str = "INFO") -> None:
    """Send our events, and those of the libraries below us, to standard error: a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def log(name: str) -> Log:
    """For ``log("worker").info("upload_completed", upload_id=…)``."""
    return Log(logging.getLogger(name))

"""Logs: one JSON object a line, a static event name, ids and codes beside it (law 7).

A library below us may put a URL into an exception's text, so whatever looks like one leaves here as ``[url]``, and a
grant as ``[token]``.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

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
        return {str(name): _redacted(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(inner) for inner in value]
    return redact(str(value))


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        # structlog's own, which leave the event before it is written.
        if name not in {"_record", "_from_structlog"}:
            event[name] = _redacted(value)
    return event


def configure_logging(level: str = "INFO") -> None:
    """Send our events, and those of the libraries below us, to standard error in one form."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,  # the last that either kind of line meets before it is written; twice would cost a third more
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def log(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for ``log("worker").info("upload_completed", upload_id=…)``."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger

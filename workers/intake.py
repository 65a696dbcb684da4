"""What a worker takes from the broker: a doorbell as the dispatcher publishes it, and nothing else.

Whoever can write to Redis can put anything there, and Celery trusts what it finds: one message without an id, or one
that is not JSON, ends a worker or sends it into a loop, and the next worker after it. So a message is read here first.
Only its ids and its grant are taken, once they are known to be just that; around them a new message is made, which is
like any other to Celery. What cannot be read becomes a message too: one that has it reported.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeGuard
from uuid import UUID, uuid4

from schema.grant import Grant
from workers.doorbell import (
    DOWNLOAD_QUEUE,
    DOWNLOAD_TASK,
    ERASE_TASK,
    EXPORT_QUEUE,
    EXPORT_TASK,
    GRANT_HEADER,
    MAINTENANCE_QUEUE,
    MEMO_HEADER,
    MOST_TOGETHER,
    RENDITION_QUEUE,
    RENDITION_TASK,
    SWEEP_TASK,
    UPLOAD_QUEUE,
    UPLOAD_TASK,
)

REFUSED_TASK = "recordings.refused"
#: Characters. A doorbell has about 200 to 700, a grant 400 to 1000; PostgreSQL takes none over 4096.
_MOST_BODY, _MOST_GRANT, _MOST_MEMO = 8_192, 4_096, 256

Seen = Literal["malformed", "missing", "misdirected"]


class _MalformedError(Exception):
    """Not a doorbell."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that was refused, by the ids in it, which prove nothing. ``seen``: what is wrong, if that can be seen
    without the database."""

    seen: Seen | None = None
    task: str | None = None
    message_id: UUID | None = None
    org_id: UUID | None = None
    upload_id: UUID | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From what ``take`` made of it."""
        ids = {name: UUID(values[name]) for name in ("message_id", "org_id", "upload_id") if values[name]}
        return cls(seen=values["seen"], task=values["task"], **ids)


@dataclass(frozen=True, slots=True)
class _Doorbell:
    """What is asked, and what the grant for it must say: which organisation, as its subject which row, and which rows
    also, in this order."""

    kwargs: dict[str, Any]
    org_id: UUID
    subject: UUID
    upload_id: UUID | None = None
    also: tuple[UUID, ...] = ()

    @property
    def named(self) -> tuple[object, ...]:
        return str(self.org_id), str(self.subject), [str(row) for row in self.also]


def take(raw: object, queue: str) -> dict[str, Any]:
    """The message to work on in place of the one that lay in ``queue``. Never fails, whatever ``raw`` is."""
    task, message_id, bell = None, None, None
    try:
        headers = _mapping(raw, "headers")
        message_id = _uuid(headers.get("id"))
        task = next((known for known in _READERS[queue] if known == headers.get("task")), None)
        bell = _READERS[queue][task](_kwargs(raw)) if task else None
        seen = _objection(headers.get(GRANT_HEADER, ""), bell) if bell else "malformed"
    except _MalformedError:
        seen = "malformed"
    if seen is None and bell is not None and task is not None and message_id is not None:
        return _message(queue, task, message_id, bell.kwargs, Grant(headers[GRANT_HEADER], *_memo(headers)))
    org_id, upload_id = (bell.org_id, bell.upload_id) if bell is not None else (None, None)
    refused = Refused(seen, task, message_id, org_id, upload_id)
    values = {name: value and str(value) for name, value in asdict(refused).items()}
    return _message(queue, REFUSED_TASK, uuid4(), values, Grant(""))


def claimed(grant: str) -> Mapping[str, Any]:
    """What a grant says, unverified: for comparing and reporting, never for believing."""
    try:
        encoded = grant.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _objection(grant: object, bell: _Doorbell) -> Seen | None:
    """A grant is for the rows that it names, all of them. Its signature holds it together, and is PostgreSQL's to
    judge."""
    if not _is_plain(grant, _MOST_GRANT):
        raise _MalformedError
    if not grant:
        return "missing"
    claims = claimed(grant)
    if not claims:
        return None
    is_for_this = (claims.get("org_id"), claims.get("sub"), claims.get("also", [])) == bell.named
    return None if is_for_this else "misdirected"


def _memo(headers: Mapping[str, Any]) -> tuple[str, str]:
    """A shortcut: what is none is left out, and PostgreSQL goes the long way."""
    match headers.get(MEMO_HEADER):
        case [str() as memo, str() as proof] if _is_plain(memo, _MOST_MEMO) and _is_plain(proof, _MOST_MEMO):
            return memo, proof
    return "", ""


def _is_plain(text: object, most: int) -> TypeGuard[str]:
    return isinstance(text, str) and len(text) <= most and text.isascii() and "\0" not in text


def _kwargs(raw: object) -> dict[str, Any]:
    properties = _mapping(raw, "properties")
    body = raw.get("body") if isinstance(raw, dict) else None
    if (
        not isinstance(raw, dict)
        or raw.get("content-type") != "application/json"
        or properties.get("body_encoding") != "base64"
        or not isinstance(body, str)
        or len(body) > _MOST_BODY
    ):
        raise _MalformedError
    try:
        match json.loads(base64.b64decode(body, validate=True)):
            case [[], dict() as kwargs, dict()]:
                return kwargs
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise _MalformedError


def _upload(kwargs: dict[str, Any]) -> _Doorbell:
    match kwargs:
        case {"org_id": org, "upload_ids": [_, *_] as uploads, **rest} if not rest and len(uploads) <= MOST_TOGETHER:
            org_id, (first, *also) = _uuid(org), tuple(_uuid(upload) for upload in uploads)
            if first in also or len(set(also)) < len(also):
                raise _MalformedError
            named = {"org_id": str(org_id), "upload_ids": [str(upload) for upload in (first, *also)]}
            return _Doorbell(named, org_id, first, first, tuple(also))
    raise _MalformedError


def _organisation(kwargs: dict[str, Any]) -> _Doorbell:
    match kwargs:
        case {"org_id": org, **rest} if not rest:
            org_id = _uuid(org)
            return _Doorbell({"org_id": str(org_id)}, org_id, org_id)
    raise _MalformedError


def _one(name: str) -> Callable[[dict[str, Any]], _Doorbell]:
    """For tasks whose doorbell names one row, and whose grant is for it."""

    def read(kwargs: dict[str, Any]) -> _Doorbell:
        if kwargs.keys() != {"org_id", name}:
            raise _MalformedError
        org_id, row_id = _uuid(kwargs["org_id"]), _uuid(kwargs[name])
        return _Doorbell({"org_id": str(org_id), name: str(row_id)}, org_id, row_id)

    return read


#: The tasks that each queue may bring.
_READERS: Mapping[str, Mapping[str, Callable[[dict[str, Any]], _Doorbell]]] = {
    UPLOAD_QUEUE: {UPLOAD_TASK: _upload},
    DOWNLOAD_QUEUE: {DOWNLOAD_TASK: _one("download_id")},
    RENDITION_QUEUE: {RENDITION_TASK: _one("download_id")},
    EXPORT_QUEUE: {EXPORT_TASK: _one("export_id")},
    MAINTENANCE_QUEUE: {SWEEP_TASK: _organisation, ERASE_TASK: _organisation},
}
QUEUES = frozenset(_READERS)


def _mapping(raw: object, name: str) -> Mapping[str, Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(found, dict):
        raise _MalformedError
    return found


def _uuid(value: object) -> UUID:
    """As ``str(UUID)`` writes it, so that ids can be compared as text."""
    try:
        found = UUID(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or str(found) != value:
        raise _MalformedError
    return found


def _message(queue: str, task: str, message_id: UUID, kwargs: dict[str, Any], grant: Grant) -> dict[str, Any]:
    """Celery's protocol, version 2, over kombu's envelope. It has no expiry: whether a doorbell is late is for the
    database to say, by its own clock, and not for this host's."""
    headers = {"lang": "py", "task": task, "id": str(message_id), "root_id": str(message_id), "retries": 0}
    shown = {"argsrepr": "()", "kwargsrepr": repr(kwargs), "timelimit": [None, None], "ignore_result": True}
    return {
        "body": base64.b64encode(json.dumps([[], kwargs, {}]).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers | shown | {GRANT_HEADER: grant},
        "properties": {
            "correlation_id": str(message_id),
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid4()),
            "body_encoding": "base64",
            "priority": 0,
        },
    }

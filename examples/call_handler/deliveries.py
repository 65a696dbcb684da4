"""What a provider's delivery says of a call that has ended. Pure.

Of each provider's message only what is needed is read: transcripts and the like are not looked at.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, Field, ValidationError

Direction = Literal["inbound", "outbound"]


class BadDelivery(Exception):
    """422: signed, and not of the form that the provider documents. The message is a code."""


class Delivery(BaseModel):
    """The arguments of ``receive_call()``, by their names. ``phone_number`` is the organisation's own line."""

    provider: str
    provider_call_id: str
    source_url: str
    recording_id: str | None = None
    provider_agent_id: str | None = None
    phone_number: str | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: int | None = None


def _message(*paths: str) -> Any:
    """The first of these that is there, below ``message``."""
    choices = [AliasPath("message", *path.split(".")) for path in paths]
    return Field(default=None, validation_alias=AliasChoices(*choices))


def _whole(value: object) -> object:
    return round(value) if isinstance(value, float) else value


class _Report(BaseModel):
    """Vapi's end-of-call report."""

    kind: str | None = _message("type")
    call_id: str | None = _message("call.id")
    recording_url: str | None = _message(
        "artifact.recordingUrl", "artifact.recording.mono.combinedUrl", "artifact.stereoRecordingUrl", "recordingUrl"
    )
    agent_id: str | None = _message("call.assistantId", "assistant.id")
    line: str | None = _message("phoneNumber.number", "call.phoneNumber.number")
    customer: str | None = _message("customer.number", "call.customer.number")
    how: str | None = _message("call.type")
    started_at: datetime | None = _message("startedAt", "call.startedAt")
    ended_at: datetime | None = _message("endedAt", "call.endedAt")
    duration_s: Annotated[int | None, BeforeValidator(_whole)] = _message("durationSeconds")


_VAPI_DIRECTIONS: Mapping[str, Direction] = {"inboundPhoneCall": "inbound", "outboundPhoneCall": "outbound"}


def read_vapi(body: bytes) -> Delivery | None:
    """None: another message than an end-of-call report, or one of a call that was not recorded."""
    try:
        report = _Report.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        raise BadDelivery("not_a_report") from None
    if report.kind != "end-of-call-report" or not report.recording_url:
        return None
    if not report.call_id:
        raise BadDelivery("no_call_id")
    direction = _VAPI_DIRECTIONS.get(report.how or "")
    ends = (report.customer, report.line) if direction != "outbound" else (report.line, report.customer)
    return Delivery(
        provider="vapi",
        provider_call_id=report.call_id,
        source_url=report.recording_url,
        provider_agent_id=report.agent_id,
        phone_number=report.line,
        direction=direction,
        from_number=ends[0],
        to_number=ends[1],
        started_at=report.started_at,
        ended_at=report.ended_at,
        duration_s=report.duration_s,
    )


def read_twilio(url: str, parameters: Sequence[tuple[str, str]]) -> Delivery | None:
    """None: the recording is not there, or not yet. A recording's callback names no number: give it as ``?number=`` (or
    the agent as ``?agent=``) in the callback's URL, which is signed too."""
    said, asked = dict(parameters), dict(parse_qsl(urlsplit(url).query))
    if said.get("RecordingStatus", "completed") != "completed" or not said.get("RecordingUrl"):
        return None
    if not said.get("CallSid"):
        raise BadDelivery("no_call_id")
    direction: Direction | None = None
    if said.get("Direction"):
        direction = "inbound" if said["Direction"] == "inbound" else "outbound"
    line = {"inbound": said.get("To"), "outbound": said.get("From")}.get(direction or "")
    began, duration_s = _moment(said.get("RecordingStartTime")), _count(said.get("RecordingDuration"))
    return Delivery(
        provider="twilio",
        provider_call_id=said["CallSid"],
        source_url=said["RecordingUrl"],
        recording_id=said.get("RecordingSid"),
        provider_agent_id=asked.get("agent"),
        phone_number=asked.get("number") or line,
        direction=direction,
        from_number=said.get("From"),
        to_number=said.get("To"),
        started_at=began,
        ended_at=began + timedelta(seconds=duration_s or 0) if began else None,
        duration_s=duration_s,
    )


def _moment(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 8 else None

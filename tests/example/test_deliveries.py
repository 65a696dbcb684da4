"""What is read of a provider's message, and what is not."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.call_handler.deliveries import BadDelivery, read_twilio, read_vapi

URL = "https://storage.vapi.ai/one.wav"
REPORT: dict[str, Any] = {
    "type": "end-of-call-report",
    "call": {"id": "c1", "type": "inboundPhoneCall", "assistantId": "a1"},
    "phoneNumber": {"number": "+12025550100"},
    "customer": {"number": "+12025550119"},
    "artifact": {"recordingUrl": URL, "transcript": "not looked at"},
    "startedAt": "2026-11-23T10:00:00.000Z",
    "endedAt": "2026-11-23T10:01:02.400Z",
    "durationSeconds": 62.4,
}


def vapi(**changes: Any) -> Any:
    return read_vapi(json.dumps({"message": REPORT | changes}).encode())


def test_a_vapi_report_names_call_agent_line_and_times() -> None:
    assert vapi().model_dump(exclude_none=True) == {
        "provider": "vapi",
        "provider_call_id": "c1",
        "source_url": URL,
        "provider_agent_id": "a1",
        "phone_number": "+12025550100",
        "direction": "inbound",
        "from_number": "+12025550119",
        "to_number": "+12025550100",
        "started_at": datetime(2026, 11, 23, 10, tzinfo=UTC),
        "ended_at": datetime(2026, 11, 23, 10, 1, 2, 400_000, tzinfo=UTC),
        "duration_s": 62,
    }


def test_of_an_outbound_call_the_line_is_the_one_that_called() -> None:
    found = vapi(call={"id": "c1", "type": "outboundPhoneCall"})
    assert (found.direction, found.from_number, found.to_number) == ("outbound", "+12025550100", "+12025550119")
    assert (found.phone_number, found.provider_agent_id) == ("+12025550100", None)


@pytest.mark.parametrize(
    "artifact",
    [
        {"recording": {"mono": {"combinedUrl": URL}}},
        {"recordingUrl": URL, "recording": {"mono": {"combinedUrl": "https://storage.vapi.ai/other.wav"}}},
        {"stereoRecordingUrl": URL},
    ],
)
def test_the_recording_is_where_vapi_puts_it(artifact: dict[str, Any]) -> None:
    assert vapi(artifact=artifact).source_url == URL


@pytest.mark.parametrize("changes", [{"type": "status-update"}, {"artifact": {}}, {"artifact": {"recordingUrl": None}}])
def test_what_has_no_recording_is_passed_over(changes: dict[str, Any]) -> None:
    assert vapi(**changes) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"message": {"call": {"id": {}}}}'])
def test_what_is_no_report_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadDelivery, match="not_a_report"):
        read_vapi(body)


def test_a_report_without_a_call_is_none() -> None:
    with pytest.raises(BadDelivery, match="no_call_id"):
        vapi(call={})


# Twilio --------------------------------------------------------------------------------------------------------------

CALLBACK = "https://calls.example/webhooks/twilio"
SAID = {
    "CallSid": "CA1",
    "RecordingSid": "RE1",
    "RecordingUrl": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
    "RecordingStatus": "completed",
    "RecordingDuration": "62",
    "RecordingStartTime": "Mon, 23 Nov 2026 10:00:00 +0000",
}


def test_a_twilio_callback_takes_number_or_agent_from_its_url() -> None:
    found = read_twilio(f"{CALLBACK}?number=%2B12025550100", list(SAID.items()))
    assert found is not None
    assert (found.provider_call_id, found.recording_id, found.phone_number) == ("CA1", "RE1", "+12025550100")
    assert (found.started_at, found.duration_s) == (datetime(2026, 11, 23, 10, tzinfo=UTC), 62)
    named = read_twilio(f"{CALLBACK}?agent=front-desk", list(SAID.items()))
    assert named is not None
    assert (named.provider_agent_id, named.phone_number) == ("front-desk", None)


@pytest.mark.parametrize(("direction", "line"), [("inbound", "+2"), ("outbound-api", "+1"), ("outbound-dial", "+1")])
def test_of_a_call_that_tells_its_ends_the_line_is_ours(direction: str, line: str) -> None:
    found = read_twilio(CALLBACK, [*SAID.items(), ("From", "+1"), ("To", "+2"), ("Direction", direction)])
    assert found is not None
    assert (found.phone_number, found.direction) == (line, direction.partition("-")[0])


@pytest.mark.parametrize("changes", [{"RecordingStatus": "absent"}, {"RecordingStatus": "in-progress"}])
def test_what_is_not_recorded_is_passed_over(changes: dict[str, str]) -> None:
    assert read_twilio(CALLBACK, list((SAID | changes).items())) is None
    assert read_twilio(CALLBACK, [("CallSid", "CA1"), ("CallStatus", "completed")]) is None


def test_odd_times_and_lengths_are_left_out() -> None:
    found = read_twilio(CALLBACK, list((SAID | {"RecordingStartTime": "soon", "RecordingDuration": "-1"}).items()))
    assert found is not None
    assert (found.started_at, found.ended_at, found.duration_s) == (None, None, None)

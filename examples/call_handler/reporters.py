"""The demo's voice providers as this app hears them: calls that ended, told over HTTP and signed as each signs."""

import json
import math
import time
from array import array
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlencode
from uuid import UUID, uuid5

import urllib3

from examples.call_handler.signatures import twilio_signature, vapi_signature

_SPACE = UUID("5a1d51c4-8f0e-4ad1-9d8a-3c1b1c1f6a01")
_RATE = 8000


@dataclass(frozen=True, slots=True)
class Clinic:
    """An organisation of the demo, and what its agent is called at the provider. The same ids at every start."""

    name: str
    provider: str
    line: str

    @property
    def org_id(self) -> UUID:
        return uuid5(_SPACE, self.name)

    @property
    def user_id(self) -> UUID:
        return uuid5(self.org_id, "user")

    @property
    def agent(self) -> str:
        return f"assistant-{uuid5(self.org_id, 'agent')}"


CLINICS = (
    Clinic("Northside Dental", "vapi", "+12025550100"),
    Clinic("Harbour Eye Clinic", "twilio", "+12025550111"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that ended just now, and where its recording is."""

    call_id: str
    url: str
    seconds: int
    caller: str
    ended_at: datetime

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.seconds)


def tone(number: int, seconds: int) -> bytes:
    """A WAV file that is pleasant enough to listen to, and of which no two are alike."""
    pitch, swell = 220.0 * 2 ** ((number * 5 % 24) / 12), 0.4 + number % 7 / 10
    wave = (
        6000 * math.sin(2 * math.pi * pitch * at / _RATE) * (0.6 + 0.4 * math.sin(2 * math.pi * swell * at / _RATE))
        for at in range(seconds * _RATE)
    )
    samples = array("h", (int(value) for value in wave)).tobytes()
    head = b"RIFF" + (len(samples) + 36).to_bytes(4, "little") + b"WAVEfmt \x10\0\0\0\1\0\1\0"
    rates = _RATE.to_bytes(4, "little") + (_RATE * 2).to_bytes(4, "little") + b"\2\0\x10\0"
    return head + rates + b"data" + len(samples).to_bytes(4, "little") + samples


@dataclass(frozen=True, slots=True)
class Reporter:
    """Tells the app at ``url``. Both methods return the HTTP status."""

    url: str
    vapi_secret: str
    twilio_token: str

    def by_vapi(self, ended: Ended, agent: str, line: str) -> int:
        call = {"id": ended.call_id, "type": "inboundPhoneCall", "assistantId": agent}
        message = {
            "type": "end-of-call-report",
            "timestamp": int(time.time() * 1000),
            "call": call,
            "artifact": {"recordingUrl": ended.url},
            "phoneNumber": {"number": line},
            "customer": {"number": ended.caller},
            "startedAt": ended.began_at.isoformat(),
            "endedAt": ended.ended_at.isoformat(),
            "durationSeconds": ended.seconds,
        }
        body = json.dumps({"message": message}).encode()
        headers = {"Content-Type": "application/json", "X-Vapi-Signature": vapi_signature(self.vapi_secret, body)}
        return _post(f"{self.url}/webhooks/vapi", body, headers)

    def by_twilio(self, ended: Ended, line: str) -> int:
        url = f"{self.url}/webhooks/twilio?{urlencode({'number': line})}"
        said = {
            "CallSid": ended.call_id,
            "RecordingSid": f"RE{ended.call_id[2:]}",
            "RecordingUrl": ended.url,
            "RecordingStatus": "completed",
            "RecordingDuration": str(ended.seconds),
            "RecordingStartTime": format_datetime(ended.began_at.astimezone(UTC)),
            "From": ended.caller,
            "To": line,
            "Direction": "inbound",
        }
        signature = twilio_signature(self.twilio_token, url, list(said.items()))
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        return _post(url, urlencode(said).encode(), headers)


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    return int(urllib3.request("POST", url, body=body, headers=headers, timeout=10.0, retries=False).status)

"""Whether a delivery is the provider's, and of now. Pure: bytes, headers and the clock are arguments.

Twilio (https://www.twilio.com/docs/usage/webhooks/webhooks-security): ``X-Twilio-Signature`` is the HMAC-SHA1, in
base64, of the URL followed by each form parameter's name and value, in the order of the names. Of a body that is no
form it signs only the URL, in which ``bodySHA256`` stands for the body. No time is signed.

Vapi (https://docs.vapi.ai/server-url/server-authentication): a custom credential of type HMAC, SHA256, in hexadecimal,
in ``X-Vapi-Signature``; over ``{timestamp}.{body}`` with the timestamp in ``X-Vapi-Timestamp``, or over the body alone,
in which ``message.timestamp`` then is the time. Or the older way, a bearer token in ``X-Vapi-Secret``, which proves who
sends and nothing of what is sent.
"""

import hmac
import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha1, sha256
from itertools import groupby
from urllib.parse import parse_qsl, urlsplit

_FORM = "application/x-www-form-urlencoded"
#: Twilio tells of a recording when it is made, which may be hours after the call.
TWILIO_WINDOW_S = 86_400.0
_MILLISECONDS_SINCE = 100_000_000_000  # seconds since 1970 have not come that far, milliseconds have


class SignatureRefused(Exception):
    """401. The message is a code for the log; whoever sent it hears no more than that."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came, but for the URL, which is the one that the provider was given. Header names in lower
    case."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM

    @property
    def form(self) -> list[tuple[str, str]]:
        try:
            return parse_qsl(self.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=200)
        except ValueError:
            raise SignatureRefused("not_a_form") from None


def verify_twilio(received: Received, tokens: Sequence[str], *, now_s: float) -> None:
    """Return where one of the account's tokens signed this request; raise ``SignatureRefused`` otherwise."""
    signature = received.headers.get("x-twilio-signature", "")
    if not signature:
        raise SignatureRefused("not_signed")
    parameters = received.form if received.is_form else []
    if not received.is_form:
        _same_body(received)
    urls = _with_and_without_port(received.url)
    made = [twilio_signature(token, url, parameters) for token in tokens if token for url in urls]
    if not _is_one_of(signature, made):
        raise SignatureRefused("wrong_signature")
    ended_s = _ended_s(dict(parameters))
    if ended_s is not None and abs(now_s - ended_s) > TWILIO_WINDOW_S:
        raise SignatureRefused("too_old")


def twilio_signature(token: str, url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """A name that comes more than once counts with each of its different values."""
    text = url + "".join(name + value for (name, value), _ in groupby(sorted(parameters)))
    return b64encode(hmac.digest(token.encode(), text.encode(), sha1)).decode()


def verify_vapi(received: Received, secrets: Sequence[str], *, now_s: float, window_s: float) -> None:
    """Return where the signature (or, where there is none, the bearer secret) is one of ``secrets``' and the time is
    within the window; raise ``SignatureRefused`` otherwise."""
    signature, stamp = received.headers.get("x-vapi-signature"), received.headers.get("x-vapi-timestamp")
    if signature is not None:
        made = [vapi_signature(secret, received.body, stamp) for secret in secrets if secret]
        if not _is_one_of(signature.removeprefix("sha256=").lower(), made):
            raise SignatureRefused("wrong_signature")
    elif not _is_one_of(received.headers.get("x-vapi-secret", ""), secrets):
        raise SignatureRefused("not_signed" if "x-vapi-secret" not in received.headers else "wrong_secret")
    # A timestamp that nobody signed is nobody's word.
    sent_s = _seconds(stamp) if signature is not None and stamp is not None else _sent_s(received.body)
    if sent_s is None or abs(now_s - sent_s) > window_s:
        raise SignatureRefused("too_old")


def vapi_signature(secret: str, body: bytes, timestamp: str | None = None) -> str:
    signed = body if timestamp is None else timestamp.encode() + b"." + body
    return hmac.digest(secret.encode(), signed, sha256).hex()


def _is_one_of(given: str, wanted: Sequence[str]) -> bool:
    """Each is compared, in the same time whatever it is."""
    return sum(hmac.compare_digest(given.encode(), one.encode()) for one in wanted if one) > 0


def _same_body(received: Received) -> None:
    digests = [value for name, value in parse_qsl(urlsplit(received.url).query) if name == "bodySHA256"]
    if len(digests) != 1 or not _is_one_of(digests[0].lower(), [sha256(received.body).hexdigest()]):
        raise SignatureRefused("wrong_body")


def _with_and_without_port(url: str) -> tuple[str, ...]:
    """Twilio signs a URL sometimes with the port that its scheme implies, and sometimes without."""
    parts = urlsplit(url)
    host, _, port = parts.netloc.rpartition(":") if parts.port else (parts.netloc, "", "")
    usual = {"https": "443", "http": "80"}[parts.scheme]
    if port in {"", usual}:
        return tuple(parts._replace(netloc=netloc).geturl() for netloc in (host, f"{host}:{usual}"))
    return (url,)


def _ended_s(parameters: Mapping[str, str]) -> float | None:
    try:
        began = parsedate_to_datetime(parameters["RecordingStartTime"])
        return (began + timedelta(seconds=int(parameters.get("RecordingDuration") or 0))).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None


def _sent_s(body: bytes) -> float | None:
    try:
        return _seconds(json.loads(body)["message"]["timestamp"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _seconds(stamp: object) -> float | None:
    """Since 1970; given in seconds or in milliseconds."""
    try:
        value = float(stamp) if isinstance(stamp, str | int | float) and not isinstance(stamp, bool) else None
    except (ValueError, OverflowError):
        return None
    if value is None or not math.isfinite(value):  # nothing is too far from NaN
        return None
    return value / 1000 if value > _MILLISECONDS_SINCE else value

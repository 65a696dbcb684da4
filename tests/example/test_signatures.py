"""Who signed a delivery, and when. The first vectors are the providers' own."""

import json
import time
from dataclasses import replace
from hashlib import sha256
from urllib.parse import urlencode

import pytest

from examples.call_handler.signatures import (
    Received,
    SignatureRefused,
    twilio_signature,
    vapi_signature,
    verify_twilio,
    verify_vapi,
)

NOW = 1_790_000_000.0
TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
SAID = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def form(said: dict[str, str], signature: str, url: str = URL) -> Received:
    return Received(url, FORM | {"x-twilio-signature": signature}, urlencode(said).encode())


def signed(said: dict[str, str], url: str = URL) -> Received:
    return form(said, twilio_signature(TOKEN, url, list(said.items())), url)


def test_twilios_own_example_is_accepted() -> None:
    verify_twilio(form(SAID, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), [TOKEN], now_s=NOW)


def test_twilios_own_example_with_a_body_is_accepted() -> None:
    digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    headers = {"content-type": "application/json", "x-twilio-signature": "a9nBmqA0ju/hNViExpshrM61xv4="}
    body = b'{"property": "value", "boolean": true}'
    received = Received(f"{URL}&bodySHA256={digest}", headers, body)
    verify_twilio(received, [TOKEN], now_s=NOW)
    with pytest.raises(SignatureRefused, match="wrong_body"):
        verify_twilio(replace(received, body=body.replace(b"true", b"false")), [TOKEN], now_s=NOW)


def test_a_name_that_comes_twice_counts_with_each_of_its_values_once() -> None:
    one = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    assert twilio_signature(TOKEN, URL, one) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


@pytest.mark.parametrize(("signed_as", "came_as"), [("a.example", "a.example:443"), ("a.example:443", "a.example")])
def test_the_port_that_a_scheme_implies_may_be_said_or_not(signed_as: str, came_as: str) -> None:
    signature = twilio_signature(TOKEN, f"https://{signed_as}/x", list(SAID.items()))
    verify_twilio(form(SAID, signature, f"https://{came_as}/x"), [TOKEN], now_s=NOW)


def test_while_a_token_replaces_another_both_are_good() -> None:
    verify_twilio(signed(SAID), ["new", TOKEN], now_s=NOW)


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (form(SAID, ""), "not_signed"),
        (form(SAID | {"To": "+1"}, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), "wrong_signature"),
        (form(SAID | {"Extra": "1"}, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), "wrong_signature"),
        (form(SAID, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL.replace("foo=1", "foo=2")), "wrong_signature"),
        (form(SAID, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", URL.replace("https", "http")), "wrong_signature"),
        (form(SAID, "s\N{LATIN SMALL LETTER A WITH DIAERESIS}"), "wrong_signature"),
        # Signed is only the URL: a body that it does not stand for is anybody's.
        (
            Received(
                URL, {"content-type": "application/json", "x-twilio-signature": twilio_signature(TOKEN, URL, [])}, b"{}"
            ),
            "wrong_body",
        ),
        (replace(signed(SAID), body=b"\xff=%ff"), "not_a_form"),
    ],
)
def test_of_twilios_nothing_else_is_accepted(received: Received, code: str) -> None:
    with pytest.raises(SignatureRefused, match=code):
        verify_twilio(received, [TOKEN], now_s=NOW)


def test_without_a_token_nothing_is_twilios() -> None:
    for tokens in ([], [""]):
        empty = form(SAID, twilio_signature("", URL, list(SAID.items())))
        with pytest.raises(SignatureRefused, match="wrong_signature"):
            verify_twilio(empty, tokens, now_s=NOW)


def test_a_recording_of_days_ago_is_not_told_of_now() -> None:
    received = signed(SAID | {"RecordingStartTime": "Mon, 21 Sep 2026 10:00:00 +0000", "RecordingDuration": "60"})
    verify_twilio(received, [TOKEN], now_s=1_789_984_860.0 + 3600)
    for late_s in (86_401, -86_401):
        with pytest.raises(SignatureRefused, match="too_old"):
            verify_twilio(received, [TOKEN], now_s=1_789_984_860.0 + late_s)


# Vapi ----------------------------------------------------------------------------------------------------------------

SECRET = "hush"
BODY = json.dumps({"message": {"type": "end-of-call-report", "timestamp": NOW * 1000}}).encode()


def vapi(headers: dict[str, str], body: bytes = BODY) -> Received:
    return Received("https://calls.example/webhooks/vapi", headers, body)


def check(received: Received, secrets: tuple[str, ...] = (SECRET,)) -> None:
    verify_vapi(received, secrets, now_s=NOW + 10, window_s=300)


def test_a_signature_over_the_body_is_accepted_in_the_ways_that_it_is_written() -> None:
    made = vapi_signature(SECRET, BODY)
    assert len(made) == len(sha256(b"").hexdigest())
    for text in (made, made.upper(), f"sha256={made}"):
        check(vapi({"x-vapi-signature": text}))
        check(vapi({"x-vapi-signature": text}), ("new", SECRET))


@pytest.mark.parametrize("stamp", [f"{NOW:.0f}", f"{NOW * 1000:.0f}"])
def test_a_signature_over_the_timestamp_and_the_body_is_accepted(stamp: str) -> None:
    check(vapi({"x-vapi-signature": vapi_signature(SECRET, b"{}", stamp), "x-vapi-timestamp": stamp}, b"{}"))


def test_the_older_secret_is_accepted_with_the_time_that_the_message_has() -> None:
    check(vapi({"x-vapi-secret": SECRET}))


@pytest.mark.parametrize(
    ("received", "code"),
    [
        (vapi({}), "not_signed"),
        (vapi({"x-vapi-secret": "other"}), "wrong_secret"),
        (vapi({"x-vapi-secret": ""}), "wrong_secret"),
        (vapi({"x-vapi-signature": ""}), "wrong_signature"),
        (vapi({"x-vapi-signature": vapi_signature("other", BODY)}), "wrong_signature"),
        (vapi({"x-vapi-signature": vapi_signature(SECRET, BODY)}, BODY + b" "), "wrong_signature"),
        # A wrong signature is not made good by a secret beside it.
        (vapi({"x-vapi-signature": "0" * 64, "x-vapi-secret": SECRET}), "wrong_signature"),
        # Nor an old message by a fresh timestamp that nobody signed.
        (
            vapi({"x-vapi-signature": vapi_signature(SECRET, BODY), "x-vapi-timestamp": f"{NOW:.0f}"}),
            "wrong_signature",
        ),
        (
            vapi(
                {"x-vapi-secret": SECRET, "x-vapi-timestamp": f"{NOW:.0f}"},
                BODY.replace(b"1790000000000", b"1780000000000"),
            ),
            "too_old",
        ),
        *(
            (
                vapi(
                    {"x-vapi-signature": vapi_signature(SECRET, BODY, stamp), "x-vapi-timestamp": stamp},
                ),
                "too_old",
            )
            for stamp in (f"{NOW - 301:.0f}", f"{NOW + 311:.0f}", "soon", "nan", "")
        ),
        (vapi({"x-vapi-signature": vapi_signature(SECRET, b"{}")}, b"{}"), "too_old"),
        (vapi({"x-vapi-signature": vapi_signature(SECRET, b"[")}, b"["), "too_old"),
    ],
)
def test_of_vapis_nothing_else_is_accepted(received: Received, code: str) -> None:
    with pytest.raises(SignatureRefused, match=code):
        check(received)


def test_without_a_secret_nothing_is_vapis() -> None:
    for secrets in ((), ("",)):
        for headers in ({"x-vapi-secret": ""}, {"x-vapi-signature": vapi_signature("", BODY)}):
            with pytest.raises(SignatureRefused):
                check(vapi(headers), secrets)


def test_the_clock_of_a_real_delivery_is_ours() -> None:
    body = json.dumps({"message": {"timestamp": int(time.time() * 1000)}}).encode()
    verify_vapi(
        vapi({"x-vapi-signature": vapi_signature(SECRET, body)}, body), (SECRET,), now_s=time.time(), window_s=5
    )

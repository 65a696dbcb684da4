"""A provider tells of a call: whose it is, once, whole or not at all, and never lost in silence."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
import requests

from examples.call_handler.reporters import Ended
from examples.call_handler.signatures import twilio_signature, vapi_signature
from tests.database import Database
from tests.example.conftest import TWILIO_TOKEN, VAPI_SECRET, App
from workers.telemetry import configure_logging


def clinic(database: Database, **registered: str) -> UUID:
    """An organisation with an agent or a line."""
    org_id = database.organisation()
    for provider, agent in registered.items():
        if provider == "line":
            database.run("INSERT INTO inbound_agent_config (org_id, phone_number) VALUES (%s, %s)", org_id, agent)
        else:
            query = "INSERT INTO agents (org_id, name, provider, provider_agent_id) VALUES (%s, 'Ada', %s, %s)"
            database.run(query, org_id, provider, agent)
    return org_id


def report(call_id: str, agent: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "end-of-call-report",
        "call": {"id": call_id, "type": "inboundPhoneCall"} | ({"assistantId": agent} if agent else {}),
        "artifact": {"recordingUrl": f"https://storage.vapi.ai/{call_id}.wav"},
    } | more


def queued(database: Database, call_id: str) -> list[Any]:
    query = (
        "SELECT q.org_id, q.provider, q.status, q.source_url FROM recording_upload_queue AS q "
        "JOIN call_logs AS c ON c.id = q.call_id WHERE c.provider_call_id = %s"
    )
    return database.all(query, call_id)


def kept(database: Database, call_id: str) -> list[Any]:
    return database.all("SELECT why, deliveries FROM app.unclaimed_calls WHERE provider_call_id = %s", call_id)


def ended(call_id: str) -> Ended:
    return Ended(call_id, "https://api.twilio.com/2010-04-01/x", 7, "+12025550150", datetime.now(UTC))


def test_a_vapi_report_is_enqueued_for_the_organisation_of_its_agent(app: App) -> None:
    agent, call_id = f"a-{uuid4()}", f"c-{uuid4()}"
    org_id = clinic(app.database, vapi=agent)
    clinic(app.database, vapi=f"a-{uuid4()}")
    answer = app.vapi(report(call_id, agent, durationSeconds=12.6))
    assert (answer.status_code, answer.json()) == (200, {"status": "enqueued"})
    assert queued(app.database, call_id) == [(org_id, "vapi", "pending", f"https://storage.vapi.ai/{call_id}.wav")]
    of_agent = app.database.one(
        "SELECT a.provider_agent_id, c.duration_s FROM call_logs AS c JOIN agents AS a ON a.id = c.agent_id "
        "WHERE c.provider_call_id = %s",
        call_id,
    )
    assert of_agent == (agent, 13)


def test_a_twilio_recording_is_enqueued_for_the_organisation_of_the_number(app: App) -> None:
    line, call_id = f"+1202{uuid4().int % 10**7:07}", f"CA{uuid4().hex}"
    org_id = clinic(app.database, line=line)
    assert app.reporter.by_twilio(ended(call_id), line) == 200
    assert [row[0] for row in queued(app.database, call_id)] == [org_id]


def test_a_repeated_delivery_is_one_recording(app: App) -> None:
    agent, call_id = f"a-{uuid4()}", f"c-{uuid4()}"
    clinic(app.database, vapi=agent)
    answers = [app.vapi(report(call_id, agent)).json()["status"] for _ in range(3)]
    assert answers == ["enqueued", "known", "known"]
    assert len(queued(app.database, call_id)) == 1


def test_an_unknown_agent_is_kept_for_review_and_the_provider_hears_that(app: App) -> None:
    call_id = f"c-{uuid4()}"
    answers = [app.vapi(report(call_id, "nobody's")) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"status": "kept"})] * 2
    assert kept(app.database, call_id) == [("agent_unknown", 2)]
    assert queued(app.database, call_id) == []


def test_an_agent_of_two_organisations_is_nobodys(app: App) -> None:
    agent, call_id = f"a-{uuid4()}", f"c-{uuid4()}"
    clinic(app.database, vapi=agent)
    clinic(app.database, vapi=agent)
    assert app.vapi(report(call_id, agent)).status_code == 202
    assert kept(app.database, call_id) == [("agent_ambiguous", 1)]


def test_once_its_agent_is_registered_the_next_delivery_is_enqueued_and_nothing_waits(app: App) -> None:
    agent, call_id = f"a-{uuid4()}", f"c-{uuid4()}"
    app.vapi(report(call_id, agent))
    org_id = clinic(app.database, vapi=agent)
    assert app.vapi(report(call_id, agent)).json() == {"status": "enqueued"}
    assert [row[0] for row in queued(app.database, call_id)] == [org_id]
    assert kept(app.database, call_id) == []


@pytest.mark.parametrize("tampered", ["body", "signature", "age"])
def test_what_vapi_did_not_sign_now_changes_nothing(app: App, tampered: str) -> None:
    agent, call_id = f"a-{uuid4()}", f"c-{uuid4()}"
    clinic(app.database, vapi=agent)
    old_ms = int(time.time() * 1000) - (3_600_000 if tampered == "age" else 0)
    body = json.dumps({"message": report(call_id, agent) | {"timestamp": old_ms}}).encode()
    signature = vapi_signature("guessed" if tampered == "signature" else VAPI_SECRET, body)
    sent = body + b"\n" if tampered == "body" else body
    answer = requests.post(f"{app.url}/webhooks/vapi", data=sent, headers={"X-Vapi-Signature": signature}, timeout=30)
    assert (answer.status_code, answer.json()) == (401, {"code": "signature_refused"})
    assert queued(app.database, call_id) == kept(app.database, call_id) == []


def test_a_number_in_the_url_that_twilio_did_not_sign_is_not_believed(app: App) -> None:
    line, call_id = f"+1202{uuid4().int % 10**7:07}", f"CA{uuid4().hex}"
    clinic(app.database, line=line)
    said = {"CallSid": call_id, "RecordingUrl": "https://api.twilio.com/x", "RecordingSid": f"RE{uuid4().hex}"}
    signature = twilio_signature(TWILIO_TOKEN, f"{app.url}/webhooks/twilio", list(said.items()))
    answer = requests.post(
        f"{app.url}/webhooks/twilio?{urlencode({'number': line})}",
        data=said,
        headers={"X-Twilio-Signature": signature},
        timeout=30,
    )
    assert answer.status_code == 401
    assert queued(app.database, call_id) == []


def test_what_is_no_report_of_a_recording_is_answered_and_passed_over(app: App) -> None:
    assert app.vapi({"type": "status-update"}).json() == {"status": "ignored"}
    assert app.vapi(report("c", "a", artifact={})).json() == {"status": "ignored"}
    assert app.vapi(report("", "a")).status_code == 422


@pytest.mark.parametrize("url", ["ftp://x/y", "https://x/" + "a" * 5000, "https://x/\0"])
def test_a_url_that_cannot_be_one_is_refused_whether_the_agent_is_known_or_not(app: App, url: str) -> None:
    agent = f"a-{uuid4()}"
    clinic(app.database, vapi=agent)
    for named in (agent, "nobody's"):
        answer = app.vapi(report(f"c-{uuid4()}", named, artifact={"recordingUrl": url}))
        assert (answer.status_code, answer.json()) == (422, {"code": "bad_argument"})


def test_more_than_any_report_has_is_not_read(app: App) -> None:
    answer = requests.post(f"{app.url}/webhooks/vapi", data=b" " * (9 * 1024 * 1024), timeout=30)
    assert answer.status_code == 413


def test_nothing_of_a_delivery_is_logged_but_ids(app: App, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    call_id = f"c-{uuid4()}"
    app.vapi(report(call_id, "nobody's", customer={"number": "+12025550155"}))
    app.vapi(report(call_id, "nobody's", artifact={"recordingUrl": "ftp://secret"}))
    said = "".join(capfd.readouterr())
    assert "webhook_unclaimed" in said
    assert "webhook_refused" in said
    for secret in ("+12025550155", "storage.vapi.ai", "ftp://", VAPI_SECRET):
        assert secret not in said

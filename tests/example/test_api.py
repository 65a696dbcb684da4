"""Users' requests: their own organisation's calls, and of another's not even that they exist."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
import requests

from tests.database import Database
from tests.example.conftest import JWT_SECRET, App

ROOT = Path(__file__).parents[2]
_STORED = """
UPDATE call_logs SET recording_status = 'completed', recording_key = org_id || '/r.wav', recording_format = 'wav',
    recording_size_bytes = 44, recording_sha256 = repeat('a', 64), recording_uploaded_at = now() WHERE id = %s
"""
_READY = """
UPDATE recording_downloads SET status = 'ready', url = 'https://store.example/r.wav?signed',
    expires_at = now() + interval '5 minutes' WHERE id = %s
"""


def call(database: Database, org_id: UUID, *, is_stored: bool = True) -> str:
    made = database.enqueue(org_id).call_id
    if is_stored:
        database.run(_STORED, made)
    return str(made)


def test_a_user_lists_their_own_organisations_calls_and_no_others(app: App) -> None:
    own, other = app.database.organisation(), app.database.organisation()
    mine = {call(app.database, own) for _ in range(3)}
    call(app.database, other)
    answer = app.get("/api/calls", app.token(own))
    assert answer.status_code == 200
    assert {one["id"] for one in answer.json()["calls"]} == mine
    assert app.get("/api/calls", app.token(app.database.organisation())).json() == {"calls": []}


def test_anothers_call_is_as_one_that_does_not_exist(app: App) -> None:
    own, other = app.database.organisation(), app.database.organisation()
    theirs, bearer = call(app.database, other), app.token(own)
    answers = [app.get(f"/api/calls/{one}", bearer) for one in (theirs, uuid4(), "other-org-call-id")]
    asked = [app.post(f"/api/calls/{one}/download", bearer, reason="r") for one in (theirs, uuid4(), "call")]
    said = {(answer.status_code, answer.text) for answer in [*answers, *asked]}
    assert said == {(404, '{"code":"call_not_found","message":"no such call"}')}
    assert app.get(f"/api/calls/{theirs}", app.token(other)).json()["id"] == theirs


def test_the_two_curl_lines_of_the_readme_do_as_they_say(app: App) -> None:
    own, other = app.database.organisation(), app.database.organisation()
    mine, theirs = call(app.database, own), call(app.database, other)
    lines = re.findall(r"^curl (?:.*\\\n)*.*$", (ROOT / "examples/call_handler/README.md").read_text(), re.MULTILINE)
    assert len(lines) == 2
    answers = []
    for line in lines:
        command = line.replace("http://127.0.0.1:8000", app.url).replace("$OTHER_ORG_CALL_ID", theirs)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={"YOUR_ORG_TOKEN": app.token(own)},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(done.stdout)
    assert json.loads(answers[0])["code"] == "call_not_found"
    assert [one["id"] for one in json.loads(answers[1])["calls"]] == [mine]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"app_metadata": {}, "user_metadata": {"org_id": "{org}"}},
        {"exp": 1},
        {"aud": "anon"},
        {"role": "service_role"},
    ],
)
def test_a_token_that_proves_nothing_opens_nothing(app: App, spoilt: dict[str, Any]) -> None:
    org, now = app.database.organisation(), int(time.time())
    claims = {"sub": str(uuid4()), "aud": "authenticated", "iat": now, "exp": now + 60}
    claims |= {"app_metadata": {"org_id": str(org)}} | json.loads(json.dumps(spoilt).replace("{org}", str(org)))
    bearer = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
    for path in ("/api/calls", f"/api/calls/{uuid4()}", "/api/me", "/api/events", f"/api/downloads/{uuid4()}"):
        answer = app.get(path, bearer)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}])
def test_without_a_token_there_is_nothing(app: App, header: dict[str, str]) -> None:
    assert requests.get(f"{app.url}/api/calls", headers=header, timeout=30).status_code == 401


def test_a_download_is_asked_for_waited_for_and_ends(app: App) -> None:
    org, user = app.database.organisation(), uuid4()
    bearer = app.token(org, user)
    asked = app.post(f"/api/calls/{call(app.database, org)}/download", bearer, reason="complaint 12")
    assert asked.status_code == 202
    path, made = asked.headers["Location"], asked.json()["id"]
    row = app.database.one("SELECT requested_by, reason FROM recording_downloads WHERE id = %s", made)
    assert row == (user, "complaint 12")
    waiting = app.get(path, bearer)
    assert (waiting.status_code, waiting.json()["status"], waiting.headers["Retry-After"]) == (202, "requested", "1")
    app.database.run(_READY, made)
    ready = app.get(path, bearer)
    assert (ready.status_code, ready.json()["url"]) == (200, "https://store.example/r.wav?signed")
    assert ready.headers["Cache-Control"] == "no-store"
    # A link is for the one who asked: not even a colleague sees it.
    assert app.get(path, app.token(org)).status_code == 404
    app.database.run("UPDATE recording_downloads SET status = 'expired' WHERE id = %s", made)
    over = app.get(path, bearer)
    assert (over.status_code, over.json()["code"]) == (410, "download_expired")


def test_what_the_database_refuses_is_an_answer_with_its_code(app: App) -> None:
    org = app.database.organisation()
    bearer, early, stored = app.token(org), call(app.database, org, is_stored=False), call(app.database, org)
    not_ready = app.post(f"/api/calls/{early}/download", bearer, reason="r")
    assert (not_ready.status_code, not_ready.json()["code"]) == (409, "recording_not_ready")
    assert app.post(f"/api/calls/{stored}/download", bearer, reason=" ").json()["code"] == "reason_missing"
    assert app.post(f"/api/calls/{stored}/download", bearer).status_code == 422
    app.database.run("UPDATE organizations SET status = 'suspended' WHERE id = %s", org)
    suspended = app.post(f"/api/calls/{stored}/download", bearer, reason="r")
    assert (suspended.status_code, suspended.json()["code"]) == (403, "organization_suspended")


def test_a_failed_download_says_why(app: App) -> None:
    org = app.database.organisation()
    bearer = app.token(org)
    asked = app.post(f"/api/calls/{call(app.database, org)}/download", bearer, reason="r")
    query = "UPDATE recording_downloads SET status = 'failed', error_code = 'object_missing' WHERE id = %s"
    app.database.run(query, asked.json()["id"])
    failed = app.get(asked.headers["Location"], bearer)
    assert (failed.status_code, failed.json()["code"]) == (409, "object_missing")


def test_an_export_is_asked_for_waited_for_and_handed_out(app: App) -> None:
    org, user = app.database.organisation(), uuid4()
    bearer, wanted = app.token(org, user), [call(app.database, org) for _ in range(2)]
    asked = app.post("/api/exports", bearer, reason="audit", call_ids=wanted)
    path, made = asked.headers["Location"], asked.json()["id"]
    assert app.get("/api/me", bearer).json()["exports"]
    waiting = app.get(path, bearer)
    assert (waiting.status_code, waiting.json()["recordings_total"]) == (202, 2)
    app.database.run(
        "UPDATE recording_exports SET status = 'ready', object_key = 'z', sha256 = repeat('a', 64), size_bytes = 1, "
        "expires_at = now() + interval '5 minutes', recordings_done = 2 WHERE id = %s",
        made,
    )
    app.database.run(_READY.replace("WHERE id", "WHERE export_id"), made)
    ready = app.get(path, bearer)
    assert (ready.status_code, ready.json()["url"]) == (200, "https://store.example/r.wav?signed")
    assert app.get(path, app.token(org)).status_code == 404


def test_an_export_with_one_of_anothers_is_refused_whole(app: App) -> None:
    own, other = app.database.organisation(), app.database.organisation()
    mixed = [call(app.database, own), call(app.database, other)]
    refused = app.post("/api/exports", app.token(own), reason="audit", call_ids=mixed)
    assert (refused.status_code, refused.json()["code"]) == (404, "call_not_found")
    assert app.post("/api/exports", app.token(own), reason="audit", call_ids=[]).status_code == 422
    assert app.database.one("SELECT count(*) FROM recording_exports WHERE org_id = %s", own) == 0


def test_older_calls_come_by_the_time_of_the_last_one(app: App) -> None:
    org = app.database.organisation()
    for minute in range(5):
        made = call(app.database, org)
        app.database.run(
            "UPDATE call_logs SET started_at = timestamptz '2026-11-01' + %s * interval '1 minute' WHERE id = %s",
            minute,
            made,
        )
    bearer, times = app.token(org), []
    for before in ("", "2026-11-01T00:03:00Z", "2026-11-01T00:01:00Z"):
        page = app.get(f"/api/calls?limit=2{before and f'&before={before}'}", bearer).json()["calls"]
        times.append([one["started_at"][14:16] for one in page])
    assert times == [["04", "03"], ["02", "01"], ["00"]]
    assert app.get("/api/calls?limit=201", bearer).status_code == 422


def test_every_answer_tells_the_browser_what_it_may_do(app: App) -> None:
    for path in ("/", "/app.js", "/nothing", "/api/calls"):
        headers = app.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
        assert policy["media-src"] == "https://store.example"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["Referrer-Policy"], headers["X-Content-Type-Options"]) == ("no-referrer", "nosniff")


def test_the_page_names_no_other_host_and_holds_nothing_inline(app: App) -> None:
    page, script, style = (app.get(path).text for path in ("/", "/app.js", "/style.css"))
    assert not re.search(r"https?://|//[a-z]", re.sub(r"//[ \-].*", "", page + script + style))
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|javascript:", page)
    assert "innerHTML" not in script
    assert "localStorage" not in script

"""``recordings webhooks``: calls that no organisation claims, and whose they are."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner, Result

from tests.database import Database
from workers.cli import app

URL = "https://provider.example/secret.wav"


def run(database: Database, *arguments: object) -> Result:
    environment = {"DATABASE_URL": database.url("recording_ops")}
    return CliRunner().invoke(app, ["webhooks", *map(str, arguments)], env=environment)


def keep(database: Database, agent: str = "nobody's") -> UUID:
    """A call comes in that nobody claims."""
    with database.connect("call_handler") as connection:
        row = connection.execute(
            "SELECT unclaimed_id FROM receive_call('vapi', %s, %s, provider_agent_id => %s, from_number => '+1555')",
            (uuid4().hex, URL, agent),
        ).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


def trail(database: Database, action: str, unclaimed_id: UUID) -> Any:
    return database.one(
        "SELECT org_id, actor, reason, detail ->> 'why' FROM audit_log "
        "WHERE action = %s AND %s IN (subject_id::text, detail ->> 'unclaimed_id')",
        action,
        str(unclaimed_id),
    )


def test_calls_that_nobody_claims_are_shown_without_url_and_without_who_spoke(shared: Database) -> None:
    kept = keep(shared, "agent-\x1b[31m")
    shown, said = run(shared, "list"), run(shared, "list", "--json")
    assert str(kept) in {one["id"] for one in json.loads(said.stdout)}
    assert "agent_unknown" in said.stdout
    for text in (shown.stdout, said.stdout):
        assert "provider.example" not in text
        assert "+1555" not in text
        assert "\x1b[31m" not in text
    assert json.loads(run(shared, "list", "--why", "number_ambiguous", "--json").stdout) == []


def test_an_operator_says_whose_a_call_is_and_it_is_enqueued_and_on_record(shared: Database) -> None:
    kept, org = keep(shared), shared.organisation()
    done = run(shared, "assign", kept, org, "--reason", "registered today", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"id": str(kept), "result": "assigned"})
    row = shared.one("SELECT source_url, status FROM recording_upload_queue WHERE org_id = %s", org)
    assert row == (URL, "pending")
    assert shared.one("SELECT from_number FROM call_logs WHERE org_id = %s", org) == "+1555"
    assert trail(shared, "unclaimed_call_assigned", kept) == (org, "recording_ops", "registered today", "agent_unknown")
    again = run(shared, "assign", kept, org, "--reason", "once more")
    assert (again.exit_code, again.stdout) == (1, f"{kept}: not_found\n")


def test_a_discarded_call_is_gone_with_its_url_and_on_record(shared: Database) -> None:
    kept = keep(shared)
    assert run(shared, "discard", kept, "--reason", "a test of theirs").exit_code == 0
    assert shared.one("SELECT count(*) FROM app.unclaimed_calls WHERE id = %s", kept) == 0
    trace = trail(shared, "unclaimed_call_discarded", kept)
    assert trace == (None, "recording_ops", "a test of theirs", "agent_unknown")
    assert run(shared, "discard", kept, "--reason", "again").exit_code == 1


@pytest.mark.parametrize("mistake", ["no such organisation", "no reason"])
def test_a_mistake_leaves_the_call_where_it_is(shared: Database, mistake: str) -> None:
    kept, org = keep(shared), shared.organisation()
    wrong = uuid4() if mistake == "no such organisation" else org
    result = run(shared, "assign", kept, wrong, "--reason", " " if mistake == "no reason" else "r")
    assert result.exit_code != 0
    assert shared.one("SELECT count(*) FROM app.unclaimed_calls WHERE id = %s", kept) == 1
    assert shared.one("SELECT count(*) FROM recording_upload_queue WHERE org_id = %s", org) == 0


def test_when_there_are_none_it_says_so(database: Database) -> None:
    assert run(database, "list").stdout == "every call that came in is some organisation's\n"

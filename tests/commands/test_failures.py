"""``recordings failures``, as operators use it, against a real database."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from tests.database import Database
from tests.operator_desk import OperatorDesk
from tests.waiting import until


@pytest.fixture
def desk(shared: Database) -> Iterator[OperatorDesk]:
    """An organisation of its own. What it leaves open would be another test's failures: it is closed."""
    opened = OperatorDesk(shared, shared.organisation("Clinic North"))
    yield opened
    shared.run(
        "UPDATE failed_recording_uploads SET resolved_at = now(), resolution = 'discarded' WHERE resolved_at IS NULL"
    )


def test_a_dry_run_names_the_number_then_they_are_retried_and_each_leaves_a_trace(desk: OperatorDesk) -> None:
    uploads = desk.fail(5)
    desk.fail(3, code="source_gone")
    wanted = ("--code", "source_forbidden", "--org", desk.org_id)
    counted = desk.run("retry", *wanted, "--dry-run")
    assert counted.exit_code == 0, counted.output
    assert "5 failures match, nothing was done" in counted.stdout
    assert "Clinic North" in counted.stdout
    assert desk.audited() == []
    retried = desk.run("retry", *wanted, "--reason", "the provider renewed the key")
    assert retried.exit_code == 0, retried.output
    assert "5 retried" in retried.stdout
    assert desk.audited() == uploads, "in the order of their first failure"
    assert desk.pending() == 5
    again = desk.run("retry", *wanted, "--reason", "once more")
    assert again.exit_code == 0
    assert "0 retried, 5 already_queued (due already: a worker will take it)" in again.stdout
    assert len(desk.audited()) == 5


def test_json_says_the_same(desk: OperatorDesk) -> None:
    desk.fail(2)
    desk.fail(3, code="source_timeout", given_up=False)
    wanted = ("--org", desk.org_id)
    assert desk.json("retry", *wanted, "--dry-run") == {
        "action": "retry",
        "dry_run": True,
        "matched": 5,
        "groups": [
            {"org_id": str(desk.org_id), "organisation": "Clinic North", "error_code": code} | counts
            for code, counts in (
                ("source_timeout", {"failures": 3, "given_up": 0}),
                ("source_forbidden", {"failures": 2, "given_up": 2}),
            )
        ],
    }
    done = {"action": "discard", "dry_run": False, "matched": 5, "results": {"discarded": 5}, "is_complete": True}
    assert desk.json("discard", *wanted, "--reason", "test calls") == done
    nothing = done | {"matched": 0, "results": {}}
    assert desk.json("discard", *wanted, "--reason", "test calls", code=1) == nothing


def test_list_shows_who_acts_next_and_ends_with_what_to_do(desk: OperatorDesk) -> None:
    (forbidden,) = desk.fail()
    desk.fail(code="source_gone")
    desk.fail(code="source_timeout", given_up=False)
    shown = desk.run("list", "--org", desk.org_id)
    assert shown.exit_code == 0
    assert str(forbidden) in shown.stdout
    assert "failures retry --code source_forbidden --dry-run" in shown.stdout
    assert "failures discard --code source_gone --dry-run" in shown.stdout
    assert "provider.example" not in shown.stdout
    listed = desk.json("list", "--org", desk.org_id)
    assert listed["matched"] == 3
    assert {one["error_code"]: one["acts_next"] for one in listed["failures"]} == {
        "source_forbidden": "operator",
        "source_gone": "nobody",
        "source_timeout": "retry",
    }


def test_list_shows_the_oldest_and_counts_the_rest(desk: OperatorDesk) -> None:
    uploads = desk.fail(30)
    listed = desk.json("list", "--org", desk.org_id, "--limit", 10)
    assert listed["matched"] == 30
    assert [UUID(one["upload_id"]) for one in listed["failures"]] == uploads[:10]
    assert "the oldest 10 of 30" in desk.run("list", "--org", desk.org_id, "--limit", 10).stdout


def test_nothing_open_is_good_news(desk: OperatorDesk) -> None:
    shown = desk.run("list", "--org", desk.org_id)
    assert (shown.exit_code, shown.stdout) == (0, "no open failure matches\n")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--code", "source_gone"), 1),
        (("--code", "source_gone", "--code", "source_timeout"), 3),
        (("--given-up",), 1),
        (("--provider", "vapi"), 2),
        (("--since", "2h"), 1),
        (("--until", "2h"), 2),
        (("--since", "1w", "--until", "1d"), 2),
        (("--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02"), 0),
        (("--limit", "2", "--since", "1w"), 2),
    ],
)
def test_filters_take_what_they_name(desk: OperatorDesk, options: tuple[str, ...], count: int) -> None:
    desk.fail(code="source_gone")
    desk.fail(2, code="source_timeout", given_up=False, provider="vapi", age="3 days")
    other = OperatorDesk(desk.database, desk.database.organisation())
    other.fail(code="source_gone", provider="vapi")
    found = desk.json("retry", "--org", desk.org_id, *options, "--dry-run", code=0 if count else 1)
    assert found["matched"] == count


def test_show_tells_the_story_of_an_upload(desk: OperatorDesk) -> None:
    (upload_id,) = desk.fail()
    desk.database.run(
        "INSERT INTO recording_upload_metrics (org_id, call_id, upload_id, attempt, outcome, error_code, total_ms, "
        "worker) SELECT org_id, call_id, id, 1, 'given_up', 'source_forbidden', 77, 'w1@h' "
        "FROM recording_upload_queue WHERE id = %s",
        upload_id,
    )
    assert desk.run("retry", upload_id, "--reason", "key renewed").exit_code == 0
    shown = desk.run("show", upload_id).stdout
    for said in ("Clinic North", "attempt 1 given_up source_forbidden", "total 77 ms", "retried", "key renewed"):
        assert said in shown
    assert "provider.example" not in shown
    story = desk.json("show", upload_id)
    assert [one["error_code"] for one in story["failures"]] == ["source_forbidden"]
    assert [one["total_ms"] for one in story["attempts"]] == [77]
    ((action),) = story["audit"]
    assert (action["action"], action["actor"], action["reason"]) == ("upload_retried", "recording_ops", "key renewed")
    assert action["detail"]["unverified_actor"]
    assert "source_url" not in story["upload"]
    assert desk.json("show", story["failures"][0]["id"]) == story


def test_by_id_each_is_answered_for(desk: OperatorDesk) -> None:
    upload_id, unknown = desk.fail()[0], uuid4()
    done = desk.json("retry", upload_id, unknown, upload_id, "--reason", "why", code=1)
    assert done["uploads"] == [
        {"id": str(upload_id), "result": "retried"},
        {"id": str(unknown), "result": "not_found"},
    ]
    again = desk.run("retry", upload_id, "--reason", "why")
    assert (again.exit_code, again.stdout) == (0, f"{upload_id}  already_queued: due already: a worker will take it\n")
    assert desk.audited() == [upload_id]


def test_what_is_not_there_is_an_exit_code_and_a_sentence(desk: OperatorDesk) -> None:
    shown = desk.run("show", uuid4())
    assert shown.exit_code == 1
    assert "no upload and no failure has the id" in shown.stderr
    assert desk.run("retry", "--org", desk.org_id, "--reason", "why").exit_code == 1
    assert desk.run("retry", uuid4(), "--dry-run").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry", "--code", "source_gone"), "--reason"),
        (("retry", "--reason", "why"), "say which"),
        (("retry", "--reason", "why", "--limit", "5"), "say which"),
        (("retry", uuid4(), "--code", "source_gone", "--reason", "why"), "not both"),
        (("retry", "--code", "nonsense", "--dry-run"), "source_forbidden"),
        (("discard", "--since", "yesterday", "--dry-run"), "is no time"),
        (("discard", "--since", "1h", "--until", "2h", "--dry-run"), "before --since"),
        (("retry", "--given-up", "--reason", "x" * 501), "at most 500"),
        (("retry", "--given-up", "--reason", "why", "--rate", "0"), "--rate"),
        (("show", "17"), "UUID"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(desk: OperatorDesk, arguments: tuple[object, ...], said: str) -> None:
    desk.fail()
    result = desk.run(*arguments)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert desk.audited() == []


def test_more_than_a_hundred_are_not_touched_unasked(desk: OperatorDesk) -> None:
    desk.fail(101)
    wanted = ("retry", "--org", desk.org_id, "--reason", "why")
    refused = desk.run(*wanted)
    assert refused.exit_code == 2
    assert "101 uploads match" in refused.stderr
    assert "--yes" in refused.stderr
    assert desk.pending() == 0
    assert desk.json(*wanted, "--limit", 100)["results"] == {"retried": 100}
    assert desk.json(*wanted, "--yes")["results"] == {"retried": 1, "already_queued": 100}
    assert len(set(desk.audited())) == len(desk.audited()) == 101


def test_a_run_of_several_pages_touches_each_once_in_order(desk: OperatorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = desk.fail(230)
    monkeypatch.setattr("workers.failures._PAGE", 100)
    for action in ("retry", "discard"):
        done = desk.json(action, "--org", desk.org_id, "--reason", "why", "--yes")
        assert done["results"] == {"retried" if action == "retry" else "discarded": 230}
    assert desk.audited() == uploads * 2


def test_a_rate_is_kept(desk: OperatorDesk) -> None:
    desk.fail(9)
    done = desk.json("retry", "--org", desk.org_id, "--reason", "why", "--rate", "4")
    assert done["results"] == {"retried": 9}
    spread = desk.database.one(
        "SELECT extract(epoch FROM max(at) - min(at))::float8 FROM audit_log WHERE org_id = %s", desk.org_id
    )
    assert spread > 1.9, "four, four more a second later, one more another second later"


def test_a_database_that_goes_away_midway_leaves_a_number_and_a_safe_way_on(desk: OperatorDesk) -> None:
    desk.fail(60)
    wanted = ("retry", "--org", desk.org_id, "--reason", "why", "--json")
    running = desk.start(*wanted, "--rate", "20")
    until(lambda: len(desk.audited()) >= 20)
    desk.database.all(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'recording_ops' AND datname = current_database()"
    )
    out, err = running.communicate(timeout=30)
    assert running.returncode == 1
    done = json.loads(out)
    assert done["is_complete"] is False
    touched = done["results"]["retried"]
    assert 20 <= touched < 60
    assert f"{touched} of 60 were done" in err
    assert "Traceback" not in err
    left = 60 - len(desk.audited())
    assert desk.json(*wanted[:-1])["results"] == {"retried": left, "already_queued": 60 - left}
    assert len(set(desk.audited())) == len(desk.audited()) == 60


def test_another_roles_login_is_refused_in_words(desk: OperatorDesk) -> None:
    (upload_id,) = desk.fail()
    environment = os.environ | {"DATABASE_URL": desk.database.url("call_handler")}
    refused = subprocess.run(
        [sys.executable, "-m", "workers.cli", "failures", "retry", str(upload_id), "--reason", "why"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "another role's login" in refused.stderr
    assert desk.audited() == []

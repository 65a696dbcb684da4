"""``recordings verify-isolation``: what it shows, and with what it exits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result

from tests.database import Database
from workers.cli import app
from workers.cli.faults import plainly


def run(url: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["verify-isolation", *options], env={"DATABASE_URL": url, "COLUMNS": "200"})


@contextmanager
def weakened(database: Database, statement: str, back: str) -> Iterator[None]:
    database.run(statement)
    try:
        yield
    finally:
        database.run(back)


FORCE = ("ALTER TABLE call_logs NO FORCE ROW LEVEL SECURITY", "ALTER TABLE call_logs FORCE ROW LEVEL SECURITY")
TRUE = ("CREATE POLICY oops ON leads FOR SELECT TO authenticated USING (true)", "DROP POLICY oops ON leads")
GRANT = (
    "GRANT SELECT (source_url) ON recording_upload_queue TO authenticated",
    "REVOKE SELECT (source_url) ON recording_upload_queue FROM authenticated",
)


def test_all_well_is_0_with_thousands_of_cells(shared: Database) -> None:
    result = run(shared.url(), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["ok"] is True
    assert told["cells"] > 5000
    assert told["leaks"] == 0
    assert told["wrong"] == []
    assert told["seconds"] < 60  # two on a machine that has nothing else to do


def test_a_terminal_shows_who_reaches_what_and_why_no_more(shared: Database) -> None:
    result = run(shared.url())
    assert result.exit_code == 0
    for said in ("call_logs", "✓ own", "✗ anon: who is not signed in", "cells, 0 leaks"):
        assert said in result.stdout


@pytest.mark.parametrize(
    ("broken", "role", "table"),
    [
        (FORCE, "recordings_owner", "public.call_logs"),
        (TRUE, "authenticated", "public.leads"),
        (GRANT, "authenticated", "public.recording_upload_queue"),
    ],
    ids=["no force", "a policy that is true", "a grant too many"],
)
def test_a_hole_is_1_and_named(shared: Database, broken: tuple[str, str], role: str, table: str) -> None:
    with weakened(shared, *broken):
        told, shown = run(shared.url(), "--json"), run(shared.url())
    assert (told.exit_code, shown.exit_code) == (1, 1)
    first = json.loads(told.stdout)["wrong"][0]
    assert (first["role"], first["table"], first["leak"]) == (role, table, True)
    assert set(first) == {"role", "table", "operation", "context", "expected", "seen", "leak", "reason"}
    assert f"‼ leak: {role} on {table}, {first['operation']}, context {first['context']}: expected" in shown.stdout
    assert "next: compare grants, policies" in shown.stdout


@pytest.mark.parametrize("form", ["md", "html"])
def test_an_auditor_gets_a_document_that_needs_nothing_else(shared: Database, form: str) -> None:
    result = run(shared.url(), "--format", form)
    assert result.exit_code == 0
    for said in ("No organisation reached another's rows", "recording_worker", "user_metadata only", "ON CONFLICT DO"):
        assert said in result.stdout.replace("&#x27;", "'")
    assert "://" not in result.stdout
    assert len(result.stdout) < 100_000


@pytest.mark.parametrize("form", ["md", "html"])
def test_a_document_of_a_hole_says_so_first(shared: Database, form: str) -> None:
    with weakened(shared, *TRUE):
        result = run(shared.url(), "--format", form)
    assert result.exit_code == 1
    assert (
        result.stdout.index("NOT ISOLATED") < result.stdout.index("What is wrong") < result.stdout.index("Why no more")
    )


def test_no_database_and_the_wrong_login_are_2_and_one_sentence(
    shared: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "postgresql://postgres:secret@127.0.0.1:1/recordings"
    for url, said in ((nowhere, "the database cannot be used"), (shared.url("recording_ops"), "administrator")):
        result = run(url)
        assert result.exception is not None
        with pytest.raises(SystemExit) as left, plainly():
            raise result.exception
        assert left.value.code == 2
        printed = capsys.readouterr().err
        assert said in printed
        assert "secret" not in printed

"""The documentation, held to the code: what it names exists, what exists is named, and its snippets run."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import psycopg
import pytest
import typer

from tests.database import Database
from workers import errors, settings
from workers.cli import app
from workers.states import Outcome, Status

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
SOMEBODY = "6f1c2a7e-0d7b-4a51-9a5e-3f0c1d2b4e55"
"""The id that the snippets name."""

_MARKED = re.compile(r"<!-- run: (\w+) -->\n```\w+\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \| (.+?) \|", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text()


def snippet(name: str, marker: str) -> str:
    found = [text for mark, text in _MARKED.findall(page(name)) if mark == marker]
    assert len(found) == 1, f"{marker} in {name}"
    return str(found[0])


def run_python(text: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-", *arguments],
        input=text,
        env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What exists is named ------------------------------------------------------------------------------------------------

PROCESSES: dict[str, type[settings.Settings]] = {
    "Dispatcher": settings.DispatcherSettings,
    "Worker": settings.WorkerSettings,
    "Operators": settings.IntegrationsSettings,
    "Flower": settings.FlowerSettings,
    "Users' tokens": settings.TokenSettings,
    "Migration": settings.MigrateSettings,
}


def shown(value: Any) -> str:
    """A default as the page writes it."""
    if value is None or value == ():
        return "not set"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


@pytest.mark.parametrize("process", PROCESSES)
def test_every_setting_is_in_operations_with_its_true_default(process: str) -> None:
    section = page("docs/operations.md").partition(f"\n### {process}\n")[2].partition("\n#")[0]
    fields = PROCESSES[process].model_fields.values()
    true = {
        str(field.validation_alias): "required" if field.is_required() else shown(field.get_default())
        for field in fields
    }
    assert dict(_ROW.findall(section)) == true


def test_every_process_that_has_settings_is_documented() -> None:
    classes = [found for found in vars(settings).values() if isinstance(found, type)]
    of_processes = {found for found in classes if issubclass(found, settings.Settings) and not found.__subclasses__()}
    assert of_processes == set(PROCESSES.values())


def commands(command: Any, *path: str) -> Iterator[str]:
    """Typer brings a click of its own, so a group is known by what it has."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, *path, name)
    else:
        yield " ".join(path)


def test_every_command_is_in_operations() -> None:
    table = page("docs/operations.md").partition("\n## Commands\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `recordings ([a-z- ]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(commands(typer.main.get_command(app)))


def codes(error: type[errors.AttemptError]) -> Iterator[str]:
    if "code" in vars(error):
        yield error.code
    for inner in error.__subclasses__():
        yield from codes(inner)


def test_every_failure_code_is_in_operations_and_in_the_design() -> None:
    table = page("docs/operations.md").partition("\n## Failure codes\n")[2].partition("\n### ")[0]
    design = page("docs/design.md").partition("\n## 7. ")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) == sorted(codes(errors.AttemptError))
    assert set(codes(errors.AttemptError)) <= set(re.findall(r"`([a-z_]+)`", design))


@pytest.mark.parametrize("word", [*Status, *Outcome])
def test_every_status_and_outcome_is_in_the_architecture(word: str) -> None:
    assert f"\n| `{word}` |" in page("docs/architecture.md")


def events() -> set[str]:
    found = set()
    for file in (*(ROOT / "workers").glob("*.py"), *(ROOT / "tasks").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                if node.func.attr in {"info", "warning", "error", "exception"} and isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


def test_every_event_that_is_logged_is_in_operations() -> None:
    table = page("docs/operations.md").partition("\n## Logs\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) == events()


# What is named exists ------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", path.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_and_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    tests = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert set(re.findall(r"`(test_\w+)`", text)) <= tests
    for named in re.findall(r"`((?:tests|workers|schema|tasks|docs|bench|examples)/[\w./-]*)", text):
        assert (ROOT / named).exists() or "NNNN" in named, named


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_is_mentioned_exists(path: Path) -> None:
    targets = " ".join(re.findall(r"^([a-z -]+):", page("Makefile"), re.MULTILINE)).split()
    mentioned = re.findall(r"(?:`|^)make ([a-z -]+?)(?:`|  | [A-Z]+=|$)", path.read_text(), re.MULTILINE)
    assert {target for line in mentioned for target in line.split()} <= set(targets)


def test_every_decision_is_in_the_index() -> None:
    files = {path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert set(_LINK.findall(page("docs/decisions/README.md"))) == files


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_settings_that_are_mentioned_exist(path: Path) -> None:
    known = set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+", page("docker-compose.yml") + page(".ci/run")))
    known |= {str(field.validation_alias) for kind in PROCESSES.values() for field in kind.model_fields.values()}
    known |= set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+", page(".env.example")))
    known |= set(
        re.findall(r'envvar="([A-Z0-9_]+)"', "".join(file.read_text() for file in ROOT.glob("workers/cli/*.py")))
    )
    ours = re.findall(r"`(RECORDINGS_[A-Z0-9_]*[A-Z0-9])`", path.read_text())
    assert set(ours) <= known


# Its snippets run ----------------------------------------------------------------------------------------------------


def test_the_readme_enqueues_from_sql(shared: Database) -> None:
    org = shared.organisation()
    statement = snippet("README.md", "sql").replace(SOMEBODY, str(org))
    with shared.connect("call_handler") as connection:
        first, again = (connection.execute(statement).fetchone() for _ in range(2))
    assert first is not None
    assert again is not None
    assert (first[:2], first[2], again[2]) == (again[:2], True, False)


def test_the_readme_enqueues_from_python(shared: Database) -> None:
    org = shared.organisation()
    program = snippet("README.md", "python") + "\nprint(enqueued.upload_id)\n"
    upload_id = run_python(program, DATABASE_URL=shared.url("call_handler"), ORG_ID=str(org))
    found = shared.one("SELECT org_id, provider, status FROM recording_upload_queue WHERE id = %s", upload_id)
    assert found == (org, "twilio", "pending")


def test_the_readme_enqueues_through_an_api_as_postgrest_would(shared: Database) -> None:
    """The arguments by their names, as the role of the token, after the grant that the page asks for."""
    org = shared.organisation()
    call = re.search(r'rpc\("(\w+)", \{(.*?)\n\}\)', snippet("README.md", "typescript"), re.DOTALL)
    assert call is not None
    names = re.findall(r"^  (\w+):", call[2], re.MULTILINE)
    parameters = shared.one("SELECT proargnames FROM pg_proc WHERE proname = %s", call[1])
    assert set(names) <= set(parameters)
    values = {
        "org_id": org,
        "provider": "vapi",
        "provider_call_id": "c",
        "source_url": "https://provider.example/a.wav",
    }
    values |= {"direction": "inbound", "started_at": "2026-11-23T10:00:00.000Z"}
    claims = claims_of_the_token()
    with shared.connect() as admin:
        # Membership belongs to the cluster: it is taken back, for other tests look at it.
        admin.execute(snippet("README.md", "grant"))
        try:
            with shared.connect("authenticator") as api, api.transaction():
                api.execute("SELECT set_config('role', %s, true)", (claims["role"],))
                arguments = ", ".join(f"{name} => %({name})s" for name in names)
                row = api.execute(f"SELECT created FROM {call[1]}({arguments})", values).fetchone()
        finally:
            admin.execute("REVOKE call_handler FROM authenticator")
    assert row == (True,)


def claims_of_the_token() -> dict[str, Any]:
    secret = uuid4().hex
    claims: dict[str, Any] = jwt.decode(
        run_python(snippet("README.md", "token"), JWT_SECRET=secret), secret, algorithms=["HS256"]
    )
    return claims


def test_a_login_of_ones_own_enqueues_in_its_own_transaction(shared: Database) -> None:
    org, login = shared.organisation(), f"own_{uuid4().hex[:8]}"
    with shared.connect() as admin:
        admin.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'pw'")
        admin.execute(f"GRANT call_handler TO {login}")
    url = shared.postgres.url(user=login, password="pw", database=shared.name)
    with psycopg.connect(url) as connection:
        connection.execute(snippet("README.md", "sql").replace(SOMEBODY, str(org)))
    assert shared.one("SELECT count(*) FROM recording_upload_queue WHERE org_id = %s", org) == 1


@pytest.fixture
def given_up(shared: Database) -> str:
    """An upload that failed, with everything that says so."""
    upload = shared.enqueue(shared.organisation())
    shared.run(
        "WITH q AS (UPDATE recording_upload_queue SET status = 'failed', failures = 10, attempt = 10, "
        "error_code = 'source_error' WHERE id = %s RETURNING *), "
        "c AS (UPDATE call_logs SET recording_status = 'failed' FROM q WHERE call_logs.id = q.call_id) "
        "INSERT INTO failed_recording_uploads (org_id, call_id, upload_id, error_code, error_message, given_up_at) "
        "SELECT org_id, call_id, id, error_code, 'x', now() FROM q",
        upload.upload_id,
    )
    return str(upload.upload_id)


@pytest.mark.parametrize(("marker", "answers"), [("retry", ["retried", "already_queued"]), ("discard", ["discarded"])])
def test_an_operator_acts_by_the_functions(shared: Database, given_up: str, marker: str, answers: list[str]) -> None:
    statement = snippet("docs/operations.md", marker).replace(SOMEBODY, given_up)
    with shared.connect("recording_ops") as connection:
        for answer in answers:
            assert connection.execute(statement).fetchone() == (answer,)


def test_the_queries_for_operators_run_with_their_login(shared: Database) -> None:
    section = page("docs/operations.md").partition("\n### What waits for whom\n")[2].partition("\n### ")[0]
    queries = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert queries
    with shared.connect("recording_ops") as connection:
        for query in queries:
            connection.execute(query.replace("%", "%%"))


@pytest.mark.parametrize(("marker", "answer"), [("erase", "erasing"), ("hold", "held")])
def test_an_operator_erases_and_holds_by_the_functions(shared: Database, marker: str, answer: str) -> None:
    call = str(shared.enqueue(shared.organisation()).call_id)
    with shared.connect("recording_ops") as connection:
        done = connection.execute(snippet("docs/operations.md", marker).replace(SOMEBODY, call)).fetchone()
        trail = connection.execute(snippet("docs/operations.md", "receipts")).fetchall()
    assert done == (answer,)
    assert call in {str(row[3]) for row in trail}


def test_an_operator_reads_what_was_refused(shared: Database) -> None:
    with shared.connect("recording_ops") as connection:
        for query in snippet("docs/operations.md", "refused").split(";")[:-1]:
            connection.execute(query)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_the_pages_is_python(path: Path) -> None:
    for text in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
        ast.parse(text)


# What users may ask --------------------------------------------------------------------------------------------------


def test_every_refusal_of_a_users_request_is_explained_with_its_sqlstate() -> None:
    sql = page("schema/migrations/sql/0012_exports.sql")
    names = {"insufficient_privilege": "42501", "invalid_parameter_value": "22023"}
    raised = dict(re.findall(r"RAISE EXCEPTION '([a-z_]+): .*?ERRCODE = '(\w+)'", sql, re.DOTALL))
    raised |= {code: state for state, code in re.findall(r"USING ERRCODE = '(\w+)',\s+MESSAGE = '([a-z_]+): ", sql)}
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", page("docs/downloads.md"), re.MULTILINE)
    assert dict(rows) == {code: names.get(state, state) for code, state in raised.items() if code != "reason"}


def test_the_requests_of_the_page_are_understood_by_the_database(shared: Database) -> None:
    with shared.connect("authenticator") as connection:
        claims = f'{{"sub": "{SOMEBODY}", "app_metadata": {{"org_id": "{shared.organisation()}"}}}}'
        connection.execute(
            "SELECT set_config('role', 'authenticated', false), set_config('request.jwt.claims', %s, false)", (claims,)
        )
        connection.commit()
        for statement in snippet("docs/downloads.md", "ask").strip().split("\n"):
            # Understood, and then: of this organisation there is nothing.
            with pytest.raises(psycopg.Error, match=r"^(call_not_found|nothing_found): "), connection.transaction():
                connection.execute(statement)

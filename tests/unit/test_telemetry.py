"""Ids and codes only (law 7): whatever a library below us says."""

import io
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from workers.telemetry import configure_logging, log, redact

ID = "6fd228ac-c398-47f6-9f26-3127743122de"
SECRET = "sWordfish"
URLS = [
    f"https://api.provider.example/v1/r.wav?X-Amz-Signature={SECRET}&b=1",
    f"postgresql://recording_worker:{SECRET}@db.example:5432/recordings",
    f"redis://:{SECRET}@redis.example/0",
    f"HTTPS://user:{SECRET}@Provider.Example/x",
    f"s3+http://{SECRET}",
]
GRANT = f"eyJhbGciOiJIUzI1NiJ9.eyJ{SECRET}.{SECRET}-_x"
SAID = [
    *URLS,
    GRANT,
    GRANT.rpartition(".")[0],
    f"HTTPSConnectionPool(host='a.example', port=443): Max retries exceeded with url: /r.wav?token={SECRET} (x)",
]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging()
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("said", SAID)
def test_what_may_hold_a_secret_is_taken_out(said: str) -> None:
    redacted = redact(f"before {said} after {ID}")
    assert SECRET not in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(f"after {ID}")


@pytest.mark.parametrize("said", [ID, "source_timeout", "worker@host", "12:30:00", "a/b/c.wav", "eyJ"])
def test_ids_and_codes_stay(said: str) -> None:
    assert redact(said) == said


def test_an_event_is_one_json_line_with_its_fields(lines: Any) -> None:
    log("worker").info("upload_completed", upload_id=ID, size_bytes=3, code=None)
    (line,) = lines()
    assert (line["event"], line["level"]) == ("upload_completed", "info")
    assert (line["upload_id"], line["size_bytes"], line["code"]) == (ID, 3, None)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("said", SAID)
def test_a_url_leaves_neither_in_the_event_nor_deep_in_a_field(lines: Any, said: str) -> None:
    log("worker").warning(f"lost {said}", why=said, deep={"args": [said, {"error": OSError(said)}]}, upload_id=ID)
    (line,) = lines()
    assert SECRET not in json.dumps(line)
    assert line["upload_id"] == ID


@pytest.mark.parametrize("said", SAID)
def test_a_url_does_not_leave_in_an_exception_or_its_cause(lines: Any, said: str) -> None:
    try:
        try:
            fail(OSError(said))
        except OSError as cause:
            raise ValueError(f"because of {said}") from cause
    except ValueError:
        log("worker").exception("task_fault", upload_id=ID)
    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert "OSError" in line["exception"]
    assert SECRET not in json.dumps(line)


@pytest.mark.parametrize("said", SAID)
def test_the_libraries_below_are_redacted_too(lines: Any, said: str) -> None:
    logger = logging.getLogger("celery.app.trace")
    try:
        fail(OSError(said))
    except OSError:
        logger.exception("Task %s raised %s", ID, said, extra={"data": {"exc": f"OSError({said!r})", "id": ID}})
    (line,) = lines()
    assert SECRET not in json.dumps(line)
    assert line["data"]["id"] == ID
    assert ID in line["event"]

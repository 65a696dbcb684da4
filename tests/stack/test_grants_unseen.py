"""A grant is in its message and at PostgreSQL, and nowhere that somebody looks: with everything on that can show it."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from celery import Celery
from redis import Redis

from tests.stack.conftest import TUNING, RunningStack
from tests.stack.wiretap import wiretap
from tests.throttle import Throttle
from tests.waiting import until

pytestmark = pytest.mark.stack
DOORBELLS = ("LPUSH rec:upload", "LPUSH rec:maintenance")

#: A worker that logs all that Celery, kombu and psycopg have to say, whose claims fail, and that prints the variables
#: of every frame on the way of such a failure, as an error reporter would.
_TALKATIVE = """
import sys, traceback
from importlib import import_module
from workers import claim, telemetry, upload
app = import_module("tasks.app")
app.configure_logging = lambda: telemetry.configure_logging("DEBUG")
claim.PENDING = "SELECT * FROM public.nowhere WHERE %(id)s = %(claim_id)s"
carry_out = upload.Uploader.carry_out
def talkative(self, grant, upload_id, *more):
    try:
        return carry_out(self, grant, upload_id, *more)
    except Exception as error:
        sys.stderr.write("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        raise
upload.Uploader.carry_out = talkative
from celery.__main__ import main
sys.argv = ["celery", "-A", "tasks", "worker", "-l", "DEBUG", "-c", "2", "-n", "talkative@test"]
main()
"""
_ASKED = ("active", "reserved", "scheduled", "revoked", "registered", "stats", "active_queues", "conf", "report")
_PAGES = ("/api/tasks?limit=1000", "/api/workers?refresh=1", "/tasks", "/workers", "/broker", "/metrics")


@contextmanager
def talkative(stack: RunningStack, log: Path) -> Iterator[None]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RECORDINGS_", "AWS_"))}
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", _TALKATIVE],
            env=inherited | stack.roles["worker"] | TUNING,
            stdout=output,
            stderr=output,
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(30)


def replies(stack: RunningStack, upload_id: UUID) -> str:
    """All that the workers answer to ``celery inspect``, while they hold the upload."""
    with Celery(broker=stack.roles["admin"]["REDIS_URL"], set_as_current=False) as app:
        app.config_from_object("celeryconfig")
        inspect: Any = app.control.inspect(timeout=1.0)
        active = until(lambda: next((text for text in [repr(inspect.active())] if str(upload_id) in text), ""))
        (task_id,) = re.findall(rf"'id': '([0-9a-f-]{{36}})'[^}}]*{upload_id}", active)[:1]
        return active + repr([getattr(inspect, question)() for question in _ASKED] + [inspect.query_task(task_id)])


def flower(stack: RunningStack) -> str:
    admin = stack.roles["admin"]
    shown = []
    for page in _PAGES:
        request = urllib.request.Request(admin["FLOWER_URL"] + page)
        request.add_header("Authorization", "Basic " + b64encode(admin["FLOWER_BASIC_AUTH"].encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                shown.append(response.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                shown.append(refused.read().decode())
    return "\n".join(shown)


def told(heard: tuple[str, ...]) -> str:
    """Events, commands and replies, as their listeners read them: what looks like a token outside is base64 of JSON."""
    published = [json.loads(line.partition("{")[1] + line.partition("{")[2]) for line in heard if is_published(line)]
    bodies = [b64decode(message.pop("body")).decode() for message in published]
    return "\n".join(bodies) + repr(published)


def is_published(line: str) -> bool:
    return line.startswith(("PUBLISH", "LPUSH")) and "{" in line and not line.startswith(DOORBELLS)


def stored(client: Redis) -> dict[str, str]:
    """Everything in Redis, by key."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    keys: list[bytes] = list(client.scan_iter())
    kinds: list[Any] = [client.type(key) for key in keys]
    return {key.decode(): repr(read.get(kind, str)(key)) for key, kind in zip(keys, kinds, strict=True)}


def test_a_grant_shows_nowhere(stack: RunningStack, tmp_path: Path) -> None:
    log = tmp_path / "talkative.log"
    org = stack.organisation()
    with wiretap(stack.roles["admin"]["REDIS_URL"]) as tap, talkative(stack, log):
        until(lambda: "ready." in log.read_text())
        source = Throttle(10_000)
        held = stack.enqueue(org, stack.recording(400_000, source)[0])
        for _ in range(30):
            stack.enqueue(org, stack.recording(2_000)[0])
        answers = replies(stack, held)
        until(lambda: "UndefinedTable" in log.read_text())
        seen_in_redis = stored(tap.client)
        pages = flower(stack)
        source.let_go()
        stack.all_settled(org)
        until(lambda: tap.client.llen("rec:upload") == 0)
        left_in_redis = stored(tap.client)
        grants, heard = tap.grants(), tuple(tap.heard)
    said = log.read_text()

    # That it looked where grants are: the worker printed its messages and its variables, Flower its tasks.
    assert len(grants) >= 31
    assert said.count("TaskPool: Apply") >= 1
    assert "[grant]" in said
    assert "grant = '[grant]'" in said
    assert str(held) in pages
    shown = {
        "a worker's log at level DEBUG, with variables": said,
        "the logs": stack.logs(),
        "celery inspect": answers,
        "Flower": pages,
        "events and replies": told(heard),
        "Redis, beside doorbells": "".join(text for key, text in seen_in_redis.items() if key != "rec:upload"),
        "Redis, when all is done": repr(left_in_redis),
    }
    for where, text in shown.items():
        assert text, where
        assert "eyJ" not in text, where
        assert not [grant for grant in grants if grant.rpartition(".")[2] in text], where
    assert not [key for key in seen_in_redis | left_in_redis if "task-meta" in key], "results"
    with psycopg.connect(stack.roles["ops"]["DATABASE_URL"]) as operator:
        assert "eyJ" not in repr(operator.execute("SELECT * FROM audit_log").fetchall())

"""``recordings doctor`` at a running system: nothing wrong, and what is honest to say of one made for development."""

import json
import os
import signal
from typing import Any

import pytest

from tests.stack.conftest import RunningStack, recordings
from tests.waiting import until

pytestmark = pytest.mark.stack
HONEST = {"broker.users", "bucket.versioned", "bucket.lifecycle", "bucket.encrypted"}


def doctor(stack: RunningStack, *arguments: str, **environment: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """By check. Two workers may report one after the other."""
    done = recordings("doctor", "--json", "--state", str(stack.state), *arguments, **environment)
    assert "Traceback" not in done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for result in json.loads(done.stdout)["results"]:
        found.setdefault(result["check"], []).append(result)
    return done.returncode, found


def with_verdict(found: dict[str, list[dict[str, str]]], verdict: str) -> set[str]:
    return {check for check, results in found.items() if any(one["verdict"] == verdict for one in results)}


def test_a_running_stack_has_nothing_wrong(stack: RunningStack) -> None:
    # A worker says of itself that it is there a moment after it is.
    until(lambda: doctor(stack)[0] == 0)
    code, found = doctor(stack)
    assert with_verdict(found, "wrong") == set()
    assert with_verdict(found, "warning") == HONEST
    assert with_verdict(found, "not checked") == {"bucket.public_access_block"}
    assert len(found["clocks"]) == 3
    assert code == 0


def test_warnings_fail_where_that_is_asked_for(stack: RunningStack) -> None:
    assert doctor(stack, "--strict")[0] == 1


def test_a_person_reads_a_line_each_and_what_to_do(stack: RunningStack) -> None:
    stack.admin.execute("ALTER TABLE call_logs NO FORCE ROW LEVEL SECURITY")
    try:
        done = recordings("doctor", "--state", str(stack.state))
    finally:
        stack.admin.execute("ALTER TABLE call_logs FORCE ROW LEVEL SECURITY")
    assert done.returncode == 1
    assert "✗ database.rls_not_forced" in done.stdout
    assert "→ ALTER TABLE public.call_logs FORCE ROW LEVEL SECURITY" in done.stdout


def test_a_dispatcher_that_does_not_lead_is_named(stack: RunningStack) -> None:
    pid = stack.pid("dispatcher")
    os.kill(pid, signal.SIGSTOP)
    stack.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'recording_dispatcher'")
    try:
        code, found = doctor(stack)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert code == 1
    assert "work.dispatcher" in with_verdict(found, "wrong")
    until(lambda: "work.dispatcher" not in with_verdict(doctor(stack)[1], "wrong"))


def test_a_misspelt_setting_is_said(stack: RunningStack) -> None:
    _, found = doctor(stack, RECORDINGS_LEASES_S="9")
    (said,) = found["settings.names"]
    assert said["remedy"] == "did you mean RECORDINGS_LEASE_S?"


def test_without_anything_to_look_at_it_says_what_to_set(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "RECORDINGS_BUCKET", "FLOWER_URL"):
        monkeypatch.delenv(name, raising=False)
    refused = recordings("doctor", "--state", str(tmp_path / "none"))
    assert refused.returncode == 1
    assert "no stack is running" in refused.stderr

"""A worker whose database comes and goes, or is not there when it starts."""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import psycopg
import pytest

from workers.batch import Batches
from workers.drain import Drain
from workers.intake import Refused
from workers.upload import Uploader
from workers.uploads import Copied, Upload

#: The module: the package has the application under the same name.
tasks_app: Any = import_module("tasks.app")


@dataclass
class Claims:
    """A queue with nothing in it, at a database that answers with these errors first."""

    answers: list[BaseException] = field(default_factory=list)
    lease: timedelta = timedelta(seconds=30)
    claims: int = 0

    def claim(self, _grant: str, _upload_id: UUID, _claim_id: UUID) -> None:
        self.claims += 1
        if self.answers:
            raise self.answers.pop(0)


def uploader(queue: Claims) -> Uploader:
    # What an upload is carried out with does not matter here: none gets that far.
    parts: dict[str, Any] = dict.fromkeys((part.name for part in fields(Uploader)), MagicMock())
    return Uploader(**parts | {"queue": queue, "drain": Drain(20), "circuit": MagicMock(paused=None)})


def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    queue = Claims([psycopg.OperationalError(), psycopg.errors.AdminShutdown()])
    uploader(queue).carry_out("grant", UUID(int=1))
    assert queue.claims == 3


def test_a_database_that_is_away_for_longer_than_the_lease_is_an_error() -> None:
    queue = Claims([psycopg.OperationalError()] * 100, lease=timedelta(seconds=0.1))
    with pytest.raises(psycopg.OperationalError):
        uploader(queue).carry_out("grant", UUID(int=1))


def test_any_other_error_is_not_tried_again() -> None:
    queue = Claims([psycopg.DataError()])
    with pytest.raises(psycopg.DataError):
        uploader(queue).carry_out("grant", UUID(int=1))
    assert queue.claims == 1


def test_a_refused_grant_ends_the_doorbell_and_nothing_else() -> None:
    queue = Claims([psycopg.errors.InsufficientPrivilege()])
    batches = Batches(MagicMock(), is_over=lambda: False)
    assert replace(uploader(queue), batches=batches).answer("grant", [UUID(int=1), UUID(int=2)]) == ()
    assert queue.claims == 1


def stored(monkeypatch: pytest.MonkeyPatch) -> list[Upload]:
    """Three uploads of one doorbell, each of which is stored as soon as it is claimed."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("workers.upload.copy", lambda *_, **__: Copied("k", 1, "0" * 64, "audio/wav", "wav", 1, 1))
    return [
        Upload(UUID(int=n), UUID(int=9), UUID(int=9), "https", None, "r", "https://x.example/", 1, 0, 10, now, now)
        for n in (1, 2, 3)
    ]


def test_what_is_stored_is_settled_together_with_the_claim_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = stored(monkeypatch)
    # The second one's lease is lost meanwhile, which is no matter of the third.
    queue = MagicMock(lease=timedelta(seconds=30), **{"claim.return_value": first})
    queue.complete_and_claim.side_effect = [(True, second), (False, third)]
    batches = Batches(MagicMock(), is_over=lambda: False)
    assert replace(uploader(queue), batches=batches).answer("g", [first.id, second.id, third.id]) == ()
    assert [call[0] for call in queue.method_calls] == ["claim", "complete_and_claim", "complete_and_claim", "complete"]
    asked = [(call.args[1], call.kwargs["then"]) for call in queue.complete_and_claim.call_args_list]
    assert asked == [(first, second.id), (second, third.id)]
    assert queue.complete.call_args.args[1] == third


def test_behind_a_next_one_that_is_stale_the_rest_is_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = stored(monkeypatch)
    queue = MagicMock(lease=timedelta(seconds=30), **{"claim.side_effect": [first, None, third]})
    queue.complete_and_claim.return_value = (True, None)
    batches = Batches(MagicMock(), is_over=lambda: False)
    assert replace(uploader(queue), batches=batches).answer("g", [first.id, second.id, third.id]) == ()
    assert [call.args[1] for call in queue.claim.call_args_list] == [first.id, second.id, third.id]
    # Of the second it is asked by itself why, as the same claim.
    assert queue.claim.call_args_list[1].args[2] == queue.complete_and_claim.call_args.kwargs["claim_id"]


def test_a_next_one_that_is_not_claimed_until_asked_by_itself_is_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = stored(monkeypatch)
    queue = MagicMock(lease=timedelta(seconds=30), **{"claim.side_effect": [first, second]})
    queue.complete_and_claim.return_value = (True, None)
    batches = Batches(MagicMock(), is_over=lambda: False)
    assert replace(uploader(queue), batches=batches).answer("g", [first.id, second.id]) == ()
    assert queue.complete.call_args.args[1] == second


def test_while_the_store_is_away_none_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = stored(monkeypatch)
    queue = MagicMock(lease=timedelta(seconds=30), **{"claim.return_value": first})
    circuit = MagicMock(paused=("store_unavailable", 1.0), **{"admit.side_effect": [True, False]})
    batches = Batches(MagicMock(), is_over=lambda: False)
    assert replace(uploader(queue), batches=batches, circuit=circuit).answer("g", [first.id, second.id]) == ()
    assert [call[0] for call in queue.method_calls] == ["claim", "complete"]


def test_a_refusal_that_is_not_the_grants_is_a_fault_of_our_own() -> None:
    queue = Claims([psycopg.errors.InsufficientPrivilege()])
    refusals = MagicMock(**{"report.return_value": None})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        replace(uploader(queue), refusals=refusals).carry_out("grant", UUID(int=1))


@pytest.mark.parametrize("kind", ["retired_key", "late", None])
def test_a_key_that_is_revoked_midway_ends_the_attempt_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    """The row is left to its lease: without a grant nothing can be written, not even that."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    id_ = UUID(int=1)
    upload = Upload(id_, id_, id_, "https", "c", "r", "https://x.example/", 1, 0, 10, now, now)
    settled = MagicMock(side_effect=psycopg.errors.InsufficientPrivilege())
    queue = MagicMock(lease=timedelta(seconds=30), complete=settled, **{"claim.return_value": upload})
    refusals = MagicMock(**{"report.return_value": kind})
    monkeypatch.setattr("workers.upload.copy", lambda *_, **__: Copied("k", 1, "0" * 64, "audio/wav", "wav", 1, 1))
    attempt = replace(uploader(queue), refusals=refusals)
    if kind is None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attempt.carry_out("grant", upload.id)
    else:
        attempt.carry_out("grant", upload.id)
    assert settled.call_count == 1
    assert refusals.report.call_args.args == (Refused(task="recordings.upload", upload_id=upload.id), "grant")


def test_a_worker_that_cannot_check_its_login_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://recording_worker:sWordfish@127.0.0.1:1/recordings")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RECORDINGS_BUCKET", "recordings")
    monkeypatch.delenv("RECORDINGS_SEAL_KEY", raising=False)
    with pytest.raises(SystemExit) as stopped:
        tasks_app._check_before_start("worker@host", SimpleNamespace(), {})
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the database cannot be used")
    assert "sWordfish" not in said

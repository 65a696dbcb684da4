"""Every check of the demo can fail: each test breaks one thing in evidence of a demo that went well."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.unit.demo_evidence import (
    FINE_UPLOAD,
    ORG_A,
    ORG_B,
    PAGE_UPLOAD,
    REFUSED_UPLOAD,
    SLOW_UPLOAD,
    WORKER,
    task,
    well,
)
from workers.demo.checks import CHECKS, judge, nothing_left
from workers.demo.evidence import Attempt, Evidence, FlowerSight, Handed, Refusal, Row, Sight
from workers.demo.handler import Delivery
from workers.demo.killing import Killed
from workers.demo.observer import Held
from workers.demo.upload_checks import doubled, lost

Tamper = Callable[[Evidence], Evidence]


def row(upload_id: UUID, **changes: Any) -> Tamper:
    def tamper(evidence: Evidence) -> Evidence:
        rows = (replace(one, **changes) if one.upload_id == upload_id else one for one in evidence.rows)
        return replace(evidence, rows=tuple(rows))

    return tamper


def without_row(evidence: Evidence) -> Evidence:
    return replace(evidence, rows=evidence.rows[1:])


def second_row(evidence: Evidence) -> Evidence:
    return replace(evidence, rows=(*evidence.rows, Row(UUID(int=99), ORG_A, "pending", 0)))


def objects(**changes: str | None) -> Tamper:
    """By the upload's number; None takes the object away."""

    def tamper(evidence: Evidence) -> Evidence:
        keys = {str(one.upload_id.int): one.object_key or "" for one in evidence.rows}
        changed = dict(evidence.objects) | {keys.get(name[1:], name): digest for name, digest in changes.items()}
        return replace(evidence, objects={key: digest for key, digest in changed.items() if digest})

    return tamper


def second_object(evidence: Evidence) -> Evidence:
    return replace(evidence, objects=dict(evidence.objects) | {f"{ORG_A}/elsewhere/{FINE_UPLOAD}.mp3": "f" * 64})


def delivered_again_as(upload_id: UUID, *, created: bool) -> Tamper:
    def tamper(evidence: Evidence) -> Evidence:
        again = Delivery(evidence.deliveries[0].call, upload_id, created)
        return replace(evidence, deliveries=(*evidence.deliveries, again))

    return tamper


def attempts(*changed: Attempt) -> Tamper:
    def tamper(evidence: Evidence) -> Evidence:
        by_number = {(one.upload_id, one.attempt): one for one in (*evidence.attempts, *changed)}
        return replace(evidence, attempts=tuple(by_number.values()))

    return tamper


def sight(viewer: str, org_id: UUID | None, rows: dict[UUID, int]) -> Tamper:
    def tamper(evidence: Evidence) -> Evidence:
        changed = Sight(viewer, org_id, "call_logs", rows)
        others = (
            one for one in evidence.sights if (one.viewer, one.org_id, one.table) != (viewer, org_id, "call_logs")
        )
        return replace(evidence, sights=(*others, changed))

    return tamper


def put(**changes: Any) -> Tamper:
    return lambda evidence: replace(evidence, **changes)


def shown(**changes: object) -> Tamper:
    return put(flower=FlowerSight(401, (task(FINE_UPLOAD) | changes,)))


def handed(stored: str | None, got: str | None, refused: str | None) -> Tamper:
    return put(handed=tuple(Handed(org_id, stored, got, refused) for org_id in (ORG_A, ORG_B)))


BROKEN: list[tuple[str, Tamper]] = [
    ("none lost", without_row),
    ("none lost", row(FINE_UPLOAD, status="processing")),
    ("none doubled", second_row),
    ("none doubled", second_object),
    ("none doubled", attempts(Attempt(FINE_UPLOAD, 2, "completed"))),
    ("a call reported twice is enqueued once", delivered_again_as(SLOW_UPLOAD, created=False)),
    ("a call reported twice is enqueued once", delivered_again_as(FINE_UPLOAD, created=True)),
    ("every upload ended as its script says", row(FINE_UPLOAD, status="failed", error_code="source_gone")),
    ("every upload ended as its script says", row(PAGE_UPLOAD, error_code="too_large")),
    ("every upload ended as its script says", row(PAGE_UPLOAD, status="completed")),
    ("every upload ended as its script says", row(FINE_UPLOAD, call_status="pending")),
    ("every upload ended as its script says", second_row),
    ("every object's SHA-256 is its source's", objects(_1="0" * 64)),
    ("every object's SHA-256 is its source's", objects(_1=None)),
    ("every object's SHA-256 is its source's", row(FINE_UPLOAD, sha256="0" * 64)),
    ("every object's SHA-256 is its source's", row(FINE_UPLOAD, call_sha256="0" * 64)),
    ("every object's SHA-256 is its source's", without_row),
    ("no object or row without the other", objects(stray="0" * 64)),
    ("no object or row without the other", objects(_2=None)),
    ("no object or row without the other", row(FINE_UPLOAD, call_key="another")),
    ("no object or row without the other", row(FINE_UPLOAD, org_id=ORG_B)),
    ("no object or row without the other", row(PAGE_UPLOAD, object_key="something")),
    ("every attempt is on record", row(FINE_UPLOAD, attempt=2)),
    ("every attempt is on record", attempts(Attempt(FINE_UPLOAD, 2, "snoozed"))),
    ("every attempt is on record", attempts(Attempt(UUID(int=99), 1, "completed"))),
    ("open failures: of failed uploads only", put(open_failures={PAGE_UPLOAD: True, FINE_UPLOAD: False})),
    ("open failures: of failed uploads only", put(open_failures={PAGE_UPLOAD: False})),
    ("open failures: of failed uploads only", put(open_failures={})),
    ("the killed worker's uploads were taken over", put(killed=None)),
    ("the killed worker's uploads were taken over", put(killed=Killed(WORKER, 1, 3.0, ()))),
    (
        "the killed worker's uploads were taken over",
        put(killed=Killed(WORKER, 1, 3.0, (Held(WORKER, FINE_UPLOAD, 1),))),
    ),
    (
        "the killed worker's uploads were taken over",
        attempts(Attempt(SLOW_UPLOAD, 1, "completed", None, WORKER)),
    ),
    ("the killed worker's uploads were taken over", row(SLOW_UPLOAD, status="pending")),
    ("the killed worker's uploads were taken over", row(SLOW_UPLOAD, attempt=1)),
    ("an operator's retry recovers a failed upload", put(repaired=frozenset())),
    ("an operator's retry recovers a failed upload", row(REFUSED_UPLOAD, status="failed")),
    ("users see their own organisation only", sight("user", ORG_A, {ORG_A: 2, ORG_B: 2})),
    ("users see their own organisation only", sight("user", ORG_A, {ORG_A: 1})),
    ("users see their own organisation only", sight("user", ORG_A, {})),
    ("users see their own organisation only", sight("user", None, {ORG_A: 2})),
    ("users see their own organisation only", put(sights=())),
    ("workers see the granted organisation only", sight("worker", ORG_B, {ORG_A: 2})),
    ("workers see the granted organisation only", sight("worker", ORG_B, {})),
    ("workers see the granted organisation only", put(sights=())),
    ("no grant or a bad one is refused", put(refusals=(Refusal("none", "call_logs", None),))),
    ("no grant or a bad one is refused", put(refusals=(Refusal("forged", "call_logs", "42P01"),))),
    ("no grant or a bad one is refused", put(refusals=())),
    ("a user downloads their own, proven", put(handed=())),
    ("a user downloads their own, proven", handed("f" * 64, None, "call_not_found")),
    ("a user downloads their own, proven", handed("f" * 64, "0" * 64, "call_not_found")),
    ("a user downloads their own, proven", handed("f" * 64, "f" * 64, None)),
    ("a user downloads their own, proven", handed("f" * 64, "f" * 64, "recording_not_ready")),
    ("Flower shows ids only", put(flower=FlowerSight(401, ()))),
    ("Flower shows ids only", shown(kwargs="{'source_url': 'https://voice.example/recordings/1'}")),
    ("Flower shows ids only", shown(args="('Jane Doe',)")),
    ("Flower shows ids only", shown(result="stored")),
    ("Flower shows ids only", shown(exception="GET https://voice.example/recordings/1")),
    ("Flower shows ids only", shown(headers="eyJhbGciOiJIUzI1NiJ9.e30.c2ln")),
    ("Flower lets nobody in without a login", put(flower=FlowerSight(200, (task(FINE_UPLOAD),)))),
]


def test_evidence_of_a_demo_that_went_well_passes_every_check() -> None:
    assert [check for check in judge(well()) if not check.ok] == []


@pytest.mark.parametrize(("name", "tamper"), BROKEN)
def test_what_is_broken_fails_its_check_and_the_check_says_something(name: str, tamper: Tamper) -> None:
    failed = {check.name: check for check in judge(tamper(well())) if not check.ok}
    assert name in failed
    assert failed[name].detail


def test_every_check_has_been_seen_to_fail() -> None:
    assert {name for name, _ in BROKEN} == {check(well()).name for check in CHECKS}


def test_something_left_running_fails_too() -> None:
    assert nothing_left([], 9).ok
    assert not nothing_left(["worker1"], 9).ok


@pytest.mark.parametrize(("tamper", "count"), [(without_row, 1), (row(FINE_UPLOAD, status="pending"), 1)])
def test_what_is_not_settled_is_lost(tamper: Tamper, count: int) -> None:
    assert lost(well()) == 0
    assert lost(tamper(well())) == count


@pytest.mark.parametrize("tamper", [second_row, second_object, attempts(Attempt(FINE_UPLOAD, 2, "completed"))])
def test_each_thing_too_many_is_doubled(tamper: Tamper) -> None:
    assert doubled(well()) == 0
    assert doubled(tamper(well())) == 1

"""Evidence of a small demo in which all went well, for tests that then break one thing."""

from collections.abc import Iterator
from uuid import UUID

from workers.demo.evidence import TABLES, Attempt, Evidence, FlowerSight, Handed, Refusal, Row, Sight
from workers.demo.handler import Delivery
from workers.demo.killing import Killed
from workers.demo.kinds import FINE, FORBIDDEN, PAGE, SLOW, Kind
from workers.demo.observer import Held
from workers.demo.recordings import Recording
from workers.demo.script import Call

ORG_A, ORG_B = UUID(int=0xA), UUID(int=0xB)
FINE_UPLOAD, SLOW_UPLOAD, PAGE_UPLOAD, REFUSED_UPLOAD = (UUID(int=number) for number in range(1, 5))
WORKER = "worker1@recordings"
COUNTS = {ORG_A: 2, ORG_B: 2}


def call(number: int, kind: Kind, organisation: int) -> Call:
    return Call(organisation, f"RE{number}", kind, Recording(number, 5_000), at_s=float(number))


def stored(upload_id: UUID, org_id: UUID, digest: str, *, attempt: int, waited_s: float) -> Row:
    key = f"{org_id}/2026/01/{UUID(int=9)}/{upload_id}.wav"
    return Row(
        upload_id,
        org_id,
        "completed",
        attempt,
        object_key=key,
        size_bytes=5_000,
        sha256=digest,
        waited_s=waited_s,
        call_status="completed",
        call_key=key,
        call_sha256=digest,
    )


def well() -> Evidence:
    """A fine recording, reported twice; a slow one that lost its worker; of the other organisation, a page that is no
    recording, and one that an operator had to retry."""
    fine, slow, page, refused = call(1, FINE, 0), call(2, SLOW, 0), call(3, PAGE, 1), call(4, FORBIDDEN, 1)
    rows = (
        stored(FINE_UPLOAD, ORG_A, "f" * 64, attempt=1, waited_s=0.1),
        stored(SLOW_UPLOAD, ORG_A, "5" * 64, attempt=2, waited_s=4.5),
        Row(PAGE_UPLOAD, ORG_B, "failed", 1, error_code="not_audio", call_status="failed"),
        stored(REFUSED_UPLOAD, ORG_B, "4" * 64, attempt=2, waited_s=8.0),
    )
    return Evidence(
        names=("Northside Dental", "Harbour Eye Clinic"),
        org_ids=(ORG_A, ORG_B),
        deliveries=(
            Delivery(fine, FINE_UPLOAD, created=True),
            Delivery(fine, FINE_UPLOAD, created=False),
            Delivery(slow, SLOW_UPLOAD, created=True),
            Delivery(page, PAGE_UPLOAD, created=True),
            Delivery(refused, REFUSED_UPLOAD, created=True),
        ),
        rows=rows,
        attempts=(
            Attempt(FINE_UPLOAD, 1, "completed", worker=WORKER),
            Attempt(SLOW_UPLOAD, 1, "rescheduled", "worker_lost", WORKER),
            Attempt(SLOW_UPLOAD, 2, "completed", worker="worker2@recordings"),
            Attempt(PAGE_UPLOAD, 1, "given_up", "not_audio", WORKER),
            Attempt(REFUSED_UPLOAD, 1, "given_up", "source_forbidden", WORKER),
            Attempt(REFUSED_UPLOAD, 2, "completed", worker=WORKER),
        ),
        open_failures={PAGE_UPLOAD: True},
        repaired=frozenset({REFUSED_UPLOAD}),
        objects={row.object_key: row.sha256 for row in rows if row.object_key and row.sha256},
        sources={FINE_UPLOAD: "f" * 64, SLOW_UPLOAD: "5" * 64, REFUSED_UPLOAD: "4" * 64},
        counts=dict.fromkeys(TABLES, COUNTS),
        sights=tuple(sights()),
        refusals=tuple(Refusal(grant, table, "42501") for grant in ("none", "forged") for table in TABLES),
        handed=tuple(Handed(org_id, "f" * 64, "f" * 64, "call_not_found") for org_id in (ORG_A, ORG_B)),
        flower=FlowerSight(401, (task(FINE_UPLOAD), task(PAGE_UPLOAD))),
        killed=Killed(WORKER, 4711, 3.0, (Held(WORKER, SLOW_UPLOAD, 1),)),
        took_s=9.0,
    )


def sights() -> Iterator[Sight]:
    for table in TABLES:
        yield Sight("user", None, table, {})
        for org_id, rows in COUNTS.items():
            yield Sight("user", org_id, table, {org_id: rows})
            yield Sight("worker", org_id, table, {org_id: rows})


def task(upload_id: UUID) -> dict[str, object]:
    """As Flower's API shows one."""
    kwargs = f"{{'org_id': '{ORG_A}', 'upload_ids': ['{upload_id}']}}"
    return {"uuid": str(upload_id), "args": "()", "kwargs": kwargs, "result": "None", "exception": None}

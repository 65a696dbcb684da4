"""The demo in numbers: by organisation, and as the one JSON object that `recordings demo --json` prints."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from workers.demo.check import Check
from workers.demo.evidence import Evidence, Row
from workers.demo.killing import Killed
from workers.demo.upload_checks import doubled, lost


@dataclass(frozen=True, slots=True)
class Numbers:
    """``retried``: uploads with more than one attempt. The times are from enqueue to stored, None if nothing is."""

    enqueued: int
    completed: int
    failed: int
    retried: int
    failed_by_code: Mapping[str, int]
    bytes: int
    p50_s: float | None
    p95_s: float | None

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Numbers":
        completed = [row for row in rows if row.status == "completed"]
        failed = [row for row in rows if row.status == "failed"]
        waits = sorted(row.waited_s for row in completed if row.waited_s is not None)
        return cls(
            enqueued=len(rows),
            completed=len(completed),
            failed=len(failed),
            retried=sum(row.attempt > 1 for row in rows),
            failed_by_code=dict(sorted(Counter(row.error_code or "?" for row in failed).items())),
            bytes=sum(row.size_bytes or 0 for row in completed),
            p50_s=percentile(waits, 50),
            p95_s=percentile(waits, 95),
        )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The smallest value that so many percent of the values do not exceed."""
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1], 3) if ordered else None


def by_organisation(evidence: Evidence) -> dict[UUID, Numbers]:
    return {org_id: Numbers.of(evidence.of(org_id)) for org_id in evidence.org_ids}


def as_json(evidence: Evidence, checks: Sequence[Check], *, elapsed_s: float) -> dict[str, Any]:
    total = asdict(Numbers.of(evidence.rows)) | {"enqueued": len(evidence.enqueued)}
    organisations = [
        {"name": name, "org_id": str(org_id)} | asdict(numbers)
        for name, (org_id, numbers) in zip(evidence.names, by_organisation(evidence).items(), strict=True)
    ]
    return {
        "uploads": total,
        "lost": lost(evidence),
        "doubled": doubled(evidence),
        "organisations": organisations,
        "worker_killed": _killed(evidence.killed),
        "checks": [asdict(check) for check in checks],
        "elapsed_s": round(elapsed_s, 1),
        "ok": all(check.ok for check in checks),
    }


def _killed(killed: Killed | None) -> dict[str, Any] | None:
    if killed is None:
        return None
    held = [str(one.upload_id) for one in killed.held]
    return {"worker": killed.worker, "process": killed.pid, "at_s": round(killed.at_s, 1), "held": held}

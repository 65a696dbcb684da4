"""A chaos run's end, for people and for machines."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.faults.run import Result
from tests.faults.verdict import outcomes, wrong_bytes
from workers.demo.upload_checks import doubled, lost


def summary(result: Result) -> dict[str, Any]:
    """Everything in numbers."""
    evidence = result.facts.evidence
    failed = Counter(row.error_code for row in evidence.rows if row.status == "failed")
    attempts = outcomes(evidence)
    return {
        "seed": result.plan.seed,
        "took_s": round(result.took_s, 1),
        "settled_after_s": round(result.settled_after_s, 1),
        "uploads": len(evidence.enqueued),
        "said": len(evidence.deliveries),
        "completed": sum(row.status == "completed" for row in evidence.rows),
        "failed": dict(sorted((str(code), count) for code, count in failed.items())),
        "stored_bytes": sum(row.size_bytes or 0 for row in evidence.rows if row.status == "completed"),
        "attempts": len(evidence.attempts),
        "attempts_by_outcome": dict(attempts.most_common()),
        "worker_lost": attempts["worker_lost"],
        "lost": lost(evidence),
        "doubled": doubled(evidence),
        "wrong_bytes": wrong_bytes(evidence),
        "unfinished_multiparts": result.facts.unfinished_parts,
        "faults": len(result.faults),
        "faults_by_kind": dict(sorted(Counter(made.kind for made in result.faults).items())),
        "intrusions": dict(sorted(result.intrusions.items())),
        "restarts": dict(sorted(result.risen.items())),
        "takeovers": len(result.takeovers),
        "max_takeover_s": round(max(result.takeovers, default=0.0), 2),
        "most_in_flight": result.most_in_flight,
        "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in result.checks},
        "ok": result.ok,
    }


def lines(result: Result) -> Iterator[str]:
    """The summary as a table."""
    told = summary(result)
    yield ""
    for name in ("uploads", "completed", "failed", "attempts", "worker_lost", "lost", "doubled", "wrong_bytes"):
        yield f"  {name.replace('_', ' '):<16} {shown(told[name])}"
    yield f"  {'stored':<16} {told['stored_bytes'] / 1e6:,.0f} MB, all read back"
    yield f"  {'attempts ended':<16} {shown(told['attempts_by_outcome'])}"
    yield f"  {'faults':<16} {told['faults']}: {shown(told['faults_by_kind'])}"
    yield f"  {'false doorbells':<16} {shown(told['intrusions'])}"
    yield f"  {'started again':<16} {shown(told['restarts'])}"
    yield f"  {'max takeover':<16} {told['max_takeover_s']} s of {told['takeovers']}"
    yield f"  {'settled':<16} {told['settled_after_s']} s after the last fault, {told['took_s']} s in all"
    yield ""
    for check in result.checks:
        yield f"  {'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}"


def shown(value: object) -> str:
    if not isinstance(value, dict):
        return f"{value:,}"
    return f"{sum(value.values()):,} ({', '.join(f'{name} {count:,}' for name, count in value.items())})"

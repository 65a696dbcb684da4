"""Doorbells that were refused: told to the database, which names the fault, counts it, and audits it within bounds."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.intake import Refused, claimed
from workers.telemetry import log

#: The one kind that is nobody's doing: its row is rung for again.
LATE = "late"

_REPORT = """
SELECT app.report_refused_grant(worker => %(worker)s, task => %(task)s, message_id => %(message_id)s,
    org_id => %(org_id)s, upload_id => %(upload_id)s, seen => %(seen)s)
"""


@dataclass(frozen=True, slots=True)
class Refusals:
    """What a worker process reports them with. Thread-safe."""

    engine: Engine
    worker: str

    def report(self, refused: Refused, grant: str = "") -> str | None:
        """Have it counted, and audited unless it was only late. Returns what is wrong; ``None``: not the grant."""
        ids = {
            "message_id": refused.message_id,
            "org_id": refused.org_id or _org_id(grant),
            "upload_id": refused.upload_id,
        }
        parameters = {"worker": self.worker, "task": refused.task, "seen": refused.seen}
        ((kind,),) = run_as_task(self.engine, grant, _REPORT, parameters | ids)
        shown = {name: str(value) for name, value in ids.items() if value is not None}
        if kind == LATE:
            log("worker").info("grant_late", task=refused.task, **shown)
        elif kind is not None:
            log("worker").warning("grant_refused", kind=kind, task=refused.task, **shown)
        return None if kind is None else str(kind)


def _org_id(grant: str) -> UUID | None:
    try:
        return UUID(str(claimed(grant).get("org_id")))
    except ValueError:
        return None

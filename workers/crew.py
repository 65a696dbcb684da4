"""The workers as an operator sees them: what each said of itself last, beside what it holds by the queue."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import psycopg

#: Three reports that did not come, and some.
_SILENT_S = 20.0

_CREW = """
SELECT coalesce(w.name, q.worker), coalesce(q.processing, 0), coalesce(q.overdue, 0), w.slots, w.busy,
       extract(epoch FROM now() - w.started_at)::double precision,
       extract(epoch FROM now() - w.seen_at)::double precision,
       w.paused_code, extract(epoch FROM now() - w.paused_at)::double precision,
       extract(epoch FROM now() - w.deaf_at)::double precision
FROM app.workers AS w FULL JOIN (
    SELECT worker, count(*) AS processing, count(*) FILTER (WHERE lease_expires_at <= now()) AS overdue
    FROM public.recording_upload_queue WHERE status = 'processing' GROUP BY worker
) AS q ON q.worker = w.name
ORDER BY 1
"""

_WHY_PAUSED = {
    "store_denied": "the store refuses: check the bucket and its permissions",
    "store_unavailable": "the store cannot be reached, or fails",
    "store_throttled": "the store asks for fewer requests",
}

State = Literal["well", "paused", "deaf", "silent", "unreported"]


@dataclass(frozen=True, slots=True)
class Worker:
    """``overdue`` of its uploads have outlived their lease. Without a report (``seen_s`` None) it is known by its
    uploads only. Durations in seconds, to now."""

    worker: str
    processing: int
    overdue: int
    slots: int | None = None
    busy: int | None = None
    up_s: float | None = None
    seen_s: float | None = None
    paused_code: str | None = None
    paused_s: float | None = None
    deaf_s: float | None = None

    @property
    def state(self) -> State:
        """The worst that is known of it. One that is silent may be anything else as well."""
        if self.seen_s is None:
            return "unreported"
        if self.seen_s > _SILENT_S:
            return "silent"
        if self.deaf_s is not None:
            return "deaf"
        return "well" if self.paused_code is None else "paused"

    @property
    def remark(self) -> str:
        """For a person: what it means and what to do. Empty when all is well."""
        match self.state:
            case "unreported":
                return "has not reported: it died, or cannot reach the database"
            case "silent":
                return "silent: it died, hangs, or cannot reach the database"
            case "deaf":
                return f"has heard no doorbell for {self.deaf_s:.0f} s while some waited: it replaces itself"
            case "paused":
                why = _WHY_PAUSED.get(self.paused_code or "", "see its log")
                return f"storing paused: {self.paused_code} for {self.paused_s:.0f} s: {why}"
        return ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"state": self.state}


def read_crew(connection: psycopg.Connection[Any]) -> tuple[Worker, ...]:
    """By name, as login ``recording_ops``."""
    return tuple(Worker(*row) for row in connection.execute(_CREW))

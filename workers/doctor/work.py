"""Whether work is done: a dispatcher leads, workers live, and nothing waits that should not."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from workers.crew import Worker, read_crew
from workers.dispatch import LEADER_LOCK
from workers.doctor.database import ask
from workers.doctor.result import Result, ok, unseen, warning, wrong

_LEADS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_OLDEST = """
SELECT extract(epoch FROM now() - min(q.next_attempt_at))::double precision
FROM public.recording_upload_queue AS q JOIN public.organizations AS o ON o.id = q.org_id
WHERE q.status = 'pending' AND q.next_attempt_at <= now() AND o.status = 'active'
"""
_LATE_S, _VERY_LATE_S = 60.0, 600.0
_LOOK = "look with DATABASE_URL of recording_ops, or the administrator's"


def check(connection: psycopg.Connection[Any]) -> Iterator[Result]:
    yield judge_leader((ask(connection, _LEADS, LEADER_LOCK) or [(0,)])[0][0])
    try:
        crew = read_crew(connection)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
        yield unseen("work.workers", "not checked: this login may not read what workers say", _LOOK)
    else:
        yield from judge_crew(crew)
    oldest = ask(connection, _OLDEST)
    if oldest is None:
        yield unseen("work.oldest", "not checked: this login may not read the queue", _LOOK)
    else:
        yield judge_oldest(oldest[0][0])


def judge_leader(leading: int) -> Result:
    if leading:
        return ok("work.dispatcher", "a dispatcher leads")
    return wrong("work.dispatcher", "no dispatcher leads: nothing is rung for", "start: recordings dispatcher")


def judge_crew(crew: Sequence[Worker]) -> Iterator[Result]:
    for worker in crew:
        if worker.state == "well":
            yield ok("work.workers", f"{worker.worker} is well, {worker.busy} of {worker.slots} slots in use")
        else:
            judge = warning if worker.state == "paused" else wrong
            yield judge("work.workers", f"{worker.worker}: {worker.remark}", "docs/operations.md, Workers")
    if not any(worker.state in ("well", "paused") for worker in crew):
        yield wrong("work.workers", "no worker is alive", "start: celery -A tasks worker -P threads …")


def judge_oldest(oldest_s: float | None) -> Result:
    if oldest_s is None or oldest_s < _LATE_S:
        return ok("work.oldest", "nothing due waits for longer than a minute")
    judge = wrong if oldest_s > _VERY_LATE_S else warning
    remedy = "more workers; or see why they do not work: recordings status"
    return judge("work.oldest", f"the oldest due upload has waited {oldest_s / 60:.0f} min", remedy)

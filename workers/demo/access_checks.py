"""What must be true of who sees what: users, workers, and whoever finds Flower."""

import re

from workers.demo.check import Check, judged
from workers.demo.evidence import TABLES, Evidence

_IDS_ONLY = re.compile(r"[\s\[\](){}',\":]|org_id|upload_ids|download_id|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GRANT = "eyJ"  # how every JWT begins
_REFUSED = "42501"
_NOT_FOUND = "call_not_found"
_UNAUTHORIZED = 401


def _sees_its_own(evidence: Evidence, viewer: str) -> list[str]:
    wrong = []
    for sight in (sight for sight in evidence.sights if sight.viewer == viewer):
        own = evidence.counts[sight.table].get(sight.org_id, 0) if sight.org_id else 0
        expected = {sight.org_id: own} if own else {}
        if sight.rows != expected:
            wrong.append(f"{sight.table} as {sight.org_id or 'nobody'}")
    seen = {(sight.org_id, sight.table) for sight in evidence.sights if sight.viewer == viewer}
    return wrong + [
        f"not asked: {table}" for org_id in evidence.org_ids for table in TABLES if (org_id, table) not in seen
    ]


def users_see_their_own(evidence: Evidence) -> Check:
    well = f"{len(evidence.org_ids)} organisations, {len(TABLES)} tables; without one: no rows"
    return judged("users see their own organisation only", _sees_its_own(evidence, "user"), well)


def workers_see_the_granted(evidence: Evidence) -> Check:
    well = f"{len(evidence.org_ids)} grants, {len(TABLES)} tables"
    return judged("workers see the granted organisation only", _sees_its_own(evidence, "worker"), well)


def bad_grants_are_refused(evidence: Evidence) -> Check:
    wrong = [f"{one.grant} on {one.table}: {one.sqlstate}" for one in evidence.refusals if one.sqlstate != _REFUSED]
    kinds = list(dict.fromkeys(one.grant for one in evidence.refusals))
    wrong += [] if {"none", "forged"} <= set(kinds) else ["not tried"]
    return judged("no grant or a bad one is refused", wrong, f"{', '.join(kinds)}: each {_REFUSED}")


def users_download_their_own(evidence: Evidence) -> Check:
    """The link leads to the very bytes; another organisation's call does not exist for them."""
    handed = {one.org_id: one for one in evidence.handed}
    wrong = [f"not tried as {org_id}" for org_id in evidence.org_ids if org_id not in handed]
    for one in evidence.handed:
        if one.got is None or one.got != one.stored:
            wrong.append(f"as {one.org_id}: other bytes, or none")
        if one.refused != _NOT_FOUND:
            wrong.append(f"as {one.org_id}, another's: {one.refused or 'handed out'}")
    return judged("a user downloads their own, proven", wrong, f"{len(handed)} links; another's: {_NOT_FOUND}")


def flower_shows_ids(evidence: Evidence) -> Check:
    """Arguments and results are ids and nothing else; nowhere a URL or a grant."""
    wrong = [] if evidence.flower.tasks else ["no task: nothing to judge by"]
    for task in evidence.flower.tasks:
        shown = "".join(str(task.get(part) or "") for part in ("args", "kwargs", "result")).replace("None", "")
        whole = str(task)
        if _IDS_ONLY.sub("", shown) or "http" in whole or _GRANT in whole:
            wrong.append(f"task {task.get('uuid')}")
    return judged("Flower shows ids only", wrong, f"{len(evidence.flower.tasks)} tasks: no URL, no grant")


def flower_is_closed(evidence: Evidence) -> Check:
    status = evidence.flower.status_without_login
    return Check("Flower lets nobody in without a login", status == _UNAUTHORIZED, f"HTTP {status}")

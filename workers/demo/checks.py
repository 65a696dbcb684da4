"""All checks of the demo, in the order in which they are shown: one function each, over the evidence alone."""

from collections.abc import Callable

from workers.demo import access_checks as access
from workers.demo import upload_checks as uploads
from workers.demo.check import Check, judged
from workers.demo.evidence import Evidence

CHECKS: tuple[Callable[[Evidence], Check], ...] = (
    uploads.none_lost,
    uploads.none_doubled,
    uploads.once_each,
    uploads.ends_as_scripted,
    uploads.bytes_are_the_sources,
    uploads.objects_match_rows,
    uploads.attempts_are_recorded,
    uploads.failures_are_open_where_failed,
    uploads.killed_workers_uploads_went_on,
    uploads.refused_are_recovered,
    access.users_see_their_own,
    access.workers_see_the_granted,
    access.bad_grants_are_refused,
    access.users_download_their_own,
    access.flower_shows_ids,
    access.flower_is_closed,
)


def judge(evidence: Evidence) -> tuple[Check, ...]:
    return tuple(check(evidence) for check in CHECKS)


def nothing_left(left: list[str], processes: int) -> Check:
    """The one check that can be made only when all is over."""
    return judged("nothing is left running", left, f"{processes} processes ended, folder deleted")

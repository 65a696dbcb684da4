"""The rendition task: a user waits for a recording in another format."""

from uuid import UUID

from celery import Task

from tasks.app import app, uploader
from tasks.fault import without_details
from workers.doorbell import GRANT_HEADER, RENDITION_TASK
from workers.encoding import MOST_S
from workers.pipeline import build_converter
from workers.settings import WorkerSettings

#: For reading and storing beside the encoding, which has a limit of its own; then the pool ends the process.
_ENOUGH_S = int(MOST_S) + 60


@app.task(name=RENDITION_TASK, bind=True, soft_time_limit=_ENOUGH_S, time_limit=_ENOUGH_S + 10)
def rendition(self: Task[..., None], org_id: str, download_id: str) -> None:
    """Make it, or find it, and make the link. ``org_id`` is for people who watch; the grant says for whom."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        build_converter(WorkerSettings.load(), uploader()).carry_out(grant, UUID(download_id))

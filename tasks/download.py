"""The tasks that users wait for: a link to a recording, a ZIP of many."""

from uuid import UUID

from celery import Task

from tasks.app import app, uploader
from tasks.fault import without_details
from workers.doorbell import DOWNLOAD_TASK, EXPORT_TASK, GRANT_HEADER
from workers.pipeline import build_exporter, build_linker
from workers.settings import WorkerSettings


@app.task(name=DOWNLOAD_TASK, bind=True)
def download(self: Task[..., None], org_id: str, download_id: str) -> None:
    """Make the link that was asked for. ``org_id`` is for people who watch; the grant says for whom."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        build_linker(WorkerSettings.load(), uploader()).carry_out(grant, UUID(download_id))


@app.task(name=EXPORT_TASK, bind=True)
def export(self: Task[..., None], org_id: str, export_id: str) -> None:
    """Pack the recordings that were asked for, and make the link."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        build_exporter(WorkerSettings.load(), uploader()).carry_out(grant, UUID(export_id))

"""The download task: a user waits for a link."""

from uuid import UUID

from celery import Task

from tasks.app import app, uploader
from tasks.upload import TaskFaultError
from workers.doorbell import DOWNLOAD_TASK, GRANT_HEADER
from workers.pipeline import build_linker
from workers.settings import WorkerSettings
from workers.telemetry import log


@app.task(name=DOWNLOAD_TASK, bind=True)
def download(self: Task[..., None], org_id: str, download_id: str) -> None:
    """Make the link that was asked for. ``org_id`` is for people who watch; the grant says for whom."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    try:
        build_linker(WorkerSettings.load(), uploader()).carry_out(grant, UUID(download_id))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and raised again without its details
        log("worker").exception("task_fault", org_id=org_id, task_id=self.request.id)
        raise TaskFaultError(type(error).__name__) from None

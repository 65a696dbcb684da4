"""The upload task: answers a doorbell."""

from uuid import UUID

from celery import Task

from tasks.app import app, uploader
from workers.doorbell import GRANT_HEADER, UPLOAD_TASK
from workers.telemetry import log


class TaskFaultError(Exception):
    """A fault of our own. Its details are in the worker's log, redacted; Flower and events show this."""


@app.task(name=UPLOAD_TASK, bind=True)
def upload(self: Task[..., None], org_id: str, upload_ids: list[str]) -> None:
    """Carry out each upload as its turn comes. The ids say what, the grant says for whom (DESIGN section 5)."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    try:
        for upload_id in upload_ids:
            uploader().carry_out(grant, UUID(upload_id))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and raised again without its details
        log("worker").exception("task_fault", org_id=org_id, task_id=self.request.id)
        raise TaskFaultError(type(error).__name__) from None

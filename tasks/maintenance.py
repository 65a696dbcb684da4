"""The maintenance tasks: answer the dispatcher, who is the clock."""

from celery import Task

from tasks.app import app, uploader
from tasks.upload import TaskFaultError
from workers.doorbell import GRANT_HEADER, SWEEP_TASK
from workers.pipeline import build_sweeper
from workers.settings import WorkerSettings
from workers.telemetry import log


@app.task(name=SWEEP_TASK, bind=True)
def sweep(self: Task[..., None], org_id: str) -> None:
    """Compare an organisation's storage with its rows. ``org_id`` is for people who watch; the grant says for whom."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    try:
        build_sweeper(WorkerSettings.load(), uploader()).carry_out(grant)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and raised again without its details
        log("worker").exception("task_fault", org_id=org_id, task_id=self.request.id)
        raise TaskFaultError(type(error).__name__) from None

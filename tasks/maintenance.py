"""The maintenance tasks: answer the dispatcher, who is the clock."""

from celery import Task

from tasks.app import app, uploader
from tasks.fault import without_details
from workers.doorbell import ERASE_TASK, GRANT_HEADER, SWEEP_TASK
from workers.pipeline import build_eraser, build_sweeper
from workers.settings import WorkerSettings


@app.task(name=SWEEP_TASK, bind=True)
def sweep(self: Task[..., None], org_id: str) -> None:
    """Compare an organisation's storage with its rows. ``org_id`` is for people who watch; the grant says for whom."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        build_sweeper(WorkerSettings.load(), uploader()).carry_out(grant)


@app.task(name=ERASE_TASK, bind=True)
def erase(self: Task[..., None], org_id: str) -> None:
    """Delete what was planned to be erased of an organisation. ``org_id`` is for people who watch, as above."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        build_eraser(uploader()).carry_out(grant)

"""What the gate refused: reported, and acknowledged like any other message."""

from celery import Task

from tasks.app import app, uploader
from tasks.upload import TaskFaultError
from workers.intake import REFUSED_TASK, Refused
from workers.telemetry import log


@app.task(name=REFUSED_TASK, bind=True)
def refused(self: Task[..., None], /, **values: str | None) -> None:
    """Only the gate makes this message: one that lies in the broker under this name is refused itself."""
    try:
        uploader().refusals.report(Refused.of(values))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is logged and raised again without its details
        log("worker").exception("task_fault", task_id=self.request.id)
        raise TaskFaultError(type(error).__name__) from None

"""What the gate refused: reported, and acknowledged like any other message."""

from celery import Task

from tasks.app import app, uploader
from tasks.fault import without_details
from workers.intake import REFUSED_TASK, Refused


@app.task(name=REFUSED_TASK, bind=True)
def refused(self: Task[..., None], /, **values: str | None) -> None:
    """Only the gate makes this message: one that lies in the broker under this name is refused itself."""
    with without_details(task_id=self.request.id):
        uploader().refusals.report(Refused.of(values))

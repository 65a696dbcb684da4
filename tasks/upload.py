"""The upload task: answers a doorbell."""

from uuid import UUID

from celery import Task

from tasks.app import app, uploader
from tasks.fault import without_details
from workers.doorbell import GRANT_HEADER, UPLOAD_TASK


@app.task(name=UPLOAD_TASK, bind=True)
def upload(
    self: Task[..., dict[str, list[str]] | None], org_id: str, upload_ids: list[str]
) -> dict[str, list[str]] | None:
    """Carry out each upload as its turn comes. The ids say what, the grant says for whom (DESIGN section 5). What it
    returns is for people who watch: the uploads that it gave back."""
    grant = (self.request.headers or {}).get(GRANT_HEADER, "")
    with without_details(org_id=org_id, task_id=self.request.id):
        given_back = uploader().answer(grant, [UUID(upload_id) for upload_id in upload_ids])
    return {"given_back": [str(upload_id) for upload_id in given_back]} if given_back else None

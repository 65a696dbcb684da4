"""A Celery application with its defaults: prefork, acknowledged early, results in Redis."""

import os

from celery import Celery

from bench.peers.naive_copy import carry_out

QUEUE = "naive"
TASK = "naive.upload"


def application(broker_url: str) -> Celery:
    made = Celery("naive", broker=broker_url, backend=broker_url, set_as_current=False)
    made.conf.task_default_queue = QUEUE
    return made


app = application(os.environ.get("REDIS_URL", ""))


@app.task(name=TASK)
def upload(recording_id: int) -> None:
    carry_out(recording_id)

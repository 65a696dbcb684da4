"""The same naive copy as a task of procrastinate, whose queue is PostgreSQL: the nearest to us in kind."""

import os

import procrastinate

from bench.peers.naive_copy import carry_out

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("DATABASE_URL", "")))


@app.task(name="naive.upload")  # type: ignore[untyped-decorator,unused-ignore]
def upload(recording_id: int) -> None:
    carry_out(recording_id)

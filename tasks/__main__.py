"""``python -m tasks worker …`` is ``celery -A tasks worker …`` in 11 MiB less a process: Celery's command loads what
adds a command to it, and so the whole of Flower's web server."""

import sys

from celery.bin.base import CLIContext
from celery.bin.worker import worker

from tasks.app import app


def main() -> None:
    """The options are Celery's own."""
    if sys.argv[1:2] != ["worker"]:
        sys.exit("usage: python -m tasks worker [OPTIONS], as celery -A tasks worker [OPTIONS]")
    worker.main(sys.argv[2:], prog_name="worker", obj=CLIContext(app=app, no_color=True, workdir=None))


if __name__ == "__main__":
    main()

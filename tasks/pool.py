"""A pool of processes learns that it is to drain: by a pipe that ends when its worker drains, or dies.

With threads, ``begin_drain`` reaches whoever holds anything. Processes that were forked have copies of everything, and
Celery tells none of them.
"""

import os
import threading
from typing import Any

from celery import signals

from tasks.app import begin_drain

_ends: list[int] = []


@signals.worker_init.connect
def _open(**_: Any) -> None:
    _ends[:] = os.pipe()


@signals.worker_process_init.connect
def _listen(**_: Any) -> None:
    if _ends:
        # The pipe ends with the last who could write: let that be the worker alone.
        os.close(_ends.pop())
        threading.Thread(target=_wait, args=(_ends[0],), name="drain", daemon=True).start()


def _wait(ear: int) -> None:
    os.read(ear, 1)
    begin_drain()


@signals.worker_shutting_down.connect
def _tell(**_: Any) -> None:
    if len(_ends) == 2:
        os.close(_ends.pop())

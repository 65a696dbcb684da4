"""The Celery application: how a worker process starts, what it refuses to start with, and how it stops."""

import os
import sys
import threading
from typing import Any, NoReturn

import psycopg
from celery import Celery
from celery.concurrency import get_implementation
from celery.signals import celeryd_init, setup_logging, worker_shutting_down

from schema.roles import WORKER, UnsafeLoginError, refuse_unsafe_login
from workers.broker import Broker
from workers.doorbell import RENDITION_QUEUE
from workers.pipeline import build_uploader
from workers.settings import SettingsError, WorkerSettings
from workers.telemetry import configure_logging, redact
from workers.upload import Uploader

app = Celery(
    "recordings",
    include=[
        "tasks.upload",
        "tasks.download",
        "tasks.rendition",
        "tasks.maintenance",
        "tasks.broker",
        "tasks.gate",
        "tasks.liveness",
        "tasks.pool",
        "tasks.refused",
    ],
)
app.config_from_object("celeryconfig")

_lock = threading.Lock()
_built: dict[int, Uploader] = {}
_draining = threading.Event()


@app.add_defaults
def _broker() -> dict[str, Any]:
    # Asked for when the configuration is first used, not at import. The stand-in names what is missing wherever Celery
    # reports that it could not connect; a worker does not get that far (see _check_before_start).
    try:
        return Broker.parse(os.environ["REDIS_URL"]).celery_settings
    except (KeyError, ValueError):
        return {"broker_url": "redis://REDIS_URL-is-not-set"}


def uploader() -> Uploader:
    """The one of this process: built at its first task, after any fork, and never shared across one."""
    pid = os.getpid()
    with _lock:
        if pid not in _built:
            _built.clear()
            slots = int(app.conf.worker_concurrency)
            _built[pid] = build_uploader(WorkerSettings.load(), worker=worker_name(), slots=slots)
            if _draining.is_set():
                _built[pid].drain.begin()
        return _built[pid]


def worker_name() -> str:
    """Celery's own name of this worker: in rows, metrics and reports."""
    return str(app.conf.get("recordings_worker_name") or f"worker@{os.getpid()}")


def storing_paused() -> tuple[str, float] | None:
    """The code and for how many seconds, where the store's circuit of this process is open."""
    return next((built.circuit.paused for built in tuple(_built.values())), None)


@setup_logging.connect
def _log_json(**_: Any) -> None:
    configure_logging()


@celeryd_init.connect
def _check_before_start(sender: str, conf: Any, options: dict[str, Any], **_: Any) -> None:
    """Refuse to start with missing settings, or with a login that row-level security does not bind (section 3)."""
    conf.recordings_worker_name = sender
    _serve_renditions_apart(options)
    if isinstance(options.get("concurrency"), int):
        conf.worker_concurrency = options["concurrency"]
    try:
        refuse_unsafe_login(WorkerSettings.load().dsn, wanted=WORKER)
    except (SettingsError, UnsafeLoginError) as error:
        _refuse(str(error), 2)
    except psycopg.Error as error:
        # Celery logs an exception of a signal and starts all the same: then with a login that nobody has looked at.
        _refuse(f"the database cannot be used: {redact(str(error).strip())}", 1)


def _serve_renditions_apart(options: dict[str, Any]) -> None:
    """Their queue is served by a worker that names it, and whose pool is of processes: Celery's time limits work there,
    and what encoding does to a process it does to no upload."""
    app.amqp.queues.deselect([RENDITION_QUEUE])
    queues = options.get("queues") or ()
    names = queues.split(",") if isinstance(queues, str) else queues
    pool = get_implementation(options.get("pool_cls") or options.get("pool") or app.conf.worker_pool)
    if RENDITION_QUEUE in names and pool is not get_implementation("processes"):
        _refuse(
            f"the queue {RENDITION_QUEUE} is served by processes, not threads: start this worker with -P processes"
            f" -Q {RENDITION_QUEUE} (Celery reads -P prefork as the pool of celeryconfig.py)",
            2,
        )


def _refuse(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


@worker_shutting_down.connect
def begin_drain(**_: Any) -> None:
    """Stop claiming; what is held is finished or put back. Again, it changes nothing."""
    # First the flag: an uploader that is being built at this moment finds it.
    _draining.set()
    for built in tuple(_built.values()):
        built.drain.begin()

"""``recordings dispatcher``: the process."""

import signal
import threading

from schema.roles import DISPATCHER, refuse_unsafe_login
from workers.settings import DispatcherSettings
from workers.telemetry import configure_logging


def dispatcher() -> None:
    """Ring for due uploads until told to stop. Any number may run: one leads, the others stand by."""
    from workers.dispatcher import Dispatcher  # noqa: PLC0415 - Celery takes half a second that no other command has

    settings = DispatcherSettings.load()
    refuse_unsafe_login(settings.dsn, wanted=DISPATCHER)
    configure_logging()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Dispatcher(settings, stop).run()

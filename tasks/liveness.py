"""The watch over a worker process, from the inside: it starts when the worker is ready and ends when it drains."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from celery import signals
from celery.worker import state
from kombu import Connection

from tasks.app import app, begin_drain, storing_paused, worker_name
from workers.liveness import Sample, Watch, end_process
from workers.self_report import Condition, SelfReport
from workers.settings import WorkerSettings

#: Over the drain, for Celery's own end.
_MARGIN_S = 10.0
#: For a report that is on its way.
_FAREWELL_S = 2.0


@dataclass(slots=True)
class _Queues:
    """Those that this worker consumed from when it started: one that it has let go of since is what deafness is."""

    names: tuple[str, ...]
    _connection: Connection | None = None
    _channel: Any = None

    def waiting(self) -> int:
        """Messages in them that no worker has taken. ``OSError`` when the broker cannot say."""
        try:
            if self._channel is None:
                self._connection = app.connection_for_read()
                self._channel = self._connection.channel()
            return sum(self._channel.queue_declare(queue=name).message_count for name in self.names)
        except Exception as error:  # noqa: BLE001 - kombu meets its own None where a connection was; a watch must not die
            self._forget()
            raise OSError(type(error).__name__) from None

    def _forget(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.release()


@dataclass(slots=True)
class _Watched:
    """The worker as it is seen from the outside of its consumer."""

    slots: int
    queues: _Queues
    settings: WorkerSettings
    draining: threading.Event = field(default_factory=threading.Event)
    leaving: threading.Event = field(default_factory=threading.Event)
    heard: int = 0
    watch: Watch = field(init=False)
    report: SelfReport = field(init=False)
    reporting: threading.Thread = field(init=False)

    def sample(self) -> Sample:
        # A message that has come in counts as reserved until it is acknowledged, running or not.
        return Sample(self.queues.waiting(), len(state.reserved_requests) < self.slots, self.heard)

    def condition(self) -> Condition:
        since = self.watch.deaf_since
        deaf_s = None if since is None else time.monotonic() - since
        return Condition(len(state.active_requests), storing_paused(), deaf_s)

    def replace(self) -> None:
        begin_drain()
        end_process(within_s=self.settings.drain_s + _MARGIN_S)

    def start(self) -> None:
        self.watch = Watch(self.sample, self.replace, self.settings.deaf_after_s, self.draining)
        self.report = SelfReport(self.settings.dsn, worker_name(), self.slots, self.condition, self.leaving)
        threading.Thread(target=self.watch.run, name="watch", daemon=True).start()
        self.reporting = threading.Thread(target=self.report.run, name="report", daemon=True)
        self.reporting.start()

    def leave(self) -> None:
        self.leaving.set()
        self.reporting.join(_FAREWELL_S)
        if not self.reporting.is_alive() and self.watch.deaf_since is None:
            self.report.leave()


_watched: list[_Watched] = []


@signals.worker_ready.connect
def _begin(**_: Any) -> None:
    queues = _Queues(tuple(app.amqp.queues.consume_from))
    watched = _Watched(int(app.conf.worker_concurrency), queues, WorkerSettings.load())
    watched.start()
    _watched.append(watched)


@signals.task_received.connect
@signals.task_revoked.connect
@signals.task_unknown.connect
@signals.task_rejected.connect
def _heard(**_: Any) -> None:
    # Expired and unintelligible messages too: it hears them.
    for watched in _watched:
        watched.heard += 1


@signals.worker_shutting_down.connect
def _stop_watching(**_: Any) -> None:
    # From here on it is meant not to hear.
    for watched in _watched:
        watched.draining.set()


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    for watched in _watched:
        watched.leave()

"""The dispatcher: the clock of the system. It looks for due rows and rings for them; it never sees a recording.

Any number may run. One leads, by an advisory lock that its database connection holds; the lock dies with the connection,
so the next one takes over as soon as the leader's process or its network is gone.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from kombu.exceptions import OperationalError as BrokerError

from workers.dispatch import NOBODY, Due, lead, pick, unmark
from workers.doorbell import Bell, Doorbell
from workers.grants import GrantKey, mint
from workers.settings import DispatcherSettings
from workers.telemetry import log

#: How soon it looks again while there is work: settled uploads make room without saying so.
_EAGER_S = 0.02
_STANDBY_S = 1.0
_CHANNEL = "recording_upload_queue"
_log = log("dispatcher")


@dataclass(slots=True)
class Dispatcher:
    """Runs until ``stop`` is set. Losing the database or the broker is waited out, and said."""

    settings: DispatcherSettings
    stop: threading.Event
    clock: Callable[[], float] = time.time

    def run(self) -> None:
        """Stand by, lead, and start over when the connection is lost, until told to stop."""
        bell = Bell(self.settings.redis_url.get_secret_value())
        try:
            while not self.stop.is_set():
                try:
                    with self._connect() as connection:
                        self._stand_by(connection)
                        self._lead(connection, bell)
                except psycopg.OperationalError as error:
                    _log.warning("database_lost", error=type(error).__name__)
                    self.stop.wait(_STANDBY_S)
        finally:
            bell.close()

    def _connect(self) -> psycopg.Connection[Any]:
        # Keepalives: a leader behind a dead network must notice, since another one leads by then.
        return psycopg.connect(
            self.settings.dsn,
            autocommit=True,
            application_name="recordings-dispatcher",
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=2,
        )

    def _stand_by(self, connection: psycopg.Connection[Any]) -> None:
        announced = False
        while not self.stop.is_set() and not lead(connection):
            if not announced:
                _log.info("standing_by")
                announced = True
            self.stop.wait(_STANDBY_S)

    def _lead(self, connection: psycopg.Connection[Any], bell: Bell) -> None:
        connection.execute(f"LISTEN {_CHANNEL}")
        _log.info("leading", window=self.settings.dispatch_window, max_in_flight=self.settings.max_in_flight)
        key = GrantKey.parse(self.settings.grant_key.get_secret_value())
        after, wait_s = NOBODY, _EAGER_S
        while not self.stop.is_set():
            due = self._pick(connection, after)
            if due:
                after, wait_s = due[-1].org_id, _EAGER_S
                self._ring(connection, bell, due, key)
            elif list(connection.notifies(timeout=wait_s, stop_after=1)):
                wait_s = _EAGER_S
                continue
            else:
                wait_s = min(self.settings.tick_s, wait_s * 2)
                continue
            self.stop.wait(_EAGER_S)

    def _pick(self, connection: psycopg.Connection[Any], after: UUID) -> list[Due]:
        return pick(
            connection,
            after=after,
            window=self.settings.dispatch_window,
            cap=self.settings.max_in_flight,
            expires=timedelta(seconds=self.settings.doorbell_expires_s),
        )

    def _ring(self, connection: psycopg.Connection[Any], bell: Bell, due: list[Due], key: GrantKey) -> None:
        now_s, lifetime_s = self.clock(), self.settings.grant_lifetime_s
        doorbells = [
            Doorbell(
                org_id=row.org_id,
                upload_ids=(row.id,),
                grant=mint(key, org_id=row.org_id, subject=row.id, now_s=now_s, lifetime_s=lifetime_s),
            )
            for row in due
        ]
        try:
            bell.ring(doorbells, expires_s=self.settings.doorbell_expires_s)
        except BrokerError as error:
            # Rows whose doorbell did go out may be rung for twice: the claim lets one in.
            _log.warning("broker_lost", rows=len(due), error=type(error).__name__)
            unmark(connection, due)
            self.stop.wait(self.settings.tick_s)
        else:
            _log.info("dispatched", rows=len(due), organisations=len({row.org_id for row in due}))

"""The dispatcher: the clock of the system. It looks for due rows and rings for them; it never sees a recording.

Any number may run. One leads, by an advisory lock that its database connection holds; the lock dies with the
connection, so the next one takes over as soon as the leader's process or its network is gone.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

from schema.pooler import refuse_transaction_pooler
from workers.dispatch import NOBODY, Due, Picked, lead, most_together, pick, together, unmark
from workers.doorbell import Bell, BrokerLostError, Doorbell
from workers.export_clock import ExportClock
from workers.grants import GrantKey, mint, vouch
from workers.pace import Pace, Rest
from workers.reception import Reception
from workers.settings import DispatcherSettings
from workers.telemetry import log
from workers.upkeep import Upkeep

_STANDBY_S = 1.0
_CHANNEL = "recording_upload_queue"
_log = log("dispatcher")

# The lock of a leader that is gone must go with it, and the server has to find that out by itself: by keepalives when
# its host or network vanished (by default after two hours), by its silence when it hangs or is suspended. The pick is a
# chain of index probes at any size, which a planner with old statistics might not believe: it would rather read and
# sort all that an average organisation has due, and the one with a backlog is not average.
_SESSION = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 10000;
SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s';
SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
"""
#: Longer than a failing broker keeps the leader waiting.
_SILENCE_S = 30.0


@dataclass(slots=True)
class Dispatcher:
    """Runs until ``stop`` is set. Losing the database or the broker is waited out, and said."""

    settings: DispatcherSettings
    stop: threading.Event

    def run(self) -> None:
        """Stand by, lead, and start over when the connection is lost, until told to stop.

        Raises ``TransactionPoolerError`` where the database gives it no connection of its own.
        """
        bell = Bell(self.settings.redis_url.get_secret_value())
        try:
            while not self.stop.is_set():
                try:
                    with self._dial() as connection:
                        self._begin(connection)
                        if self._stand_by(connection):
                            self._lead(connection, bell)
                except psycopg.OperationalError as error:
                    _log.warning("database_lost", error=type(error).__name__)
                    self.stop.wait(_STANDBY_S)
        finally:
            bell.close()

    def _dial(self) -> psycopg.Connection[Any]:
        # The same from this end: a leader behind a dead network must notice, since another one leads by then.
        return psycopg.connect(
            self.settings.dsn,
            autocommit=True,
            application_name="recordings-dispatcher",
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=10_000,
        )

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        # Before the first setting, which would be left behind for others.
        refuse_transaction_pooler(connection, self._dial)
        connection.execute(_SESSION)
        silence_ms = round((_SILENCE_S + self.settings.tick_s) * 1000)
        connection.execute("SELECT set_config('idle_session_timeout', %s, false)", (str(silence_ms),))

    def _stand_by(self, connection: psycopg.Connection[Any]) -> bool:
        """Wait to lead; False if told to stop before that."""
        announced = False
        while not self.stop.is_set():
            if lead(connection):
                return True
            if not announced:
                _log.info("standing_by")
                announced = True
            self.stop.wait(_STANDBY_S)
        return False

    def _lead(self, connection: psycopg.Connection[Any], bell: Bell) -> None:
        connection.execute(f"LISTEN {_CHANNEL}")
        _log.info("leading", window=self.settings.dispatch_window, max_in_flight=self.settings.max_in_flight)
        key = GrantKey.parse(self.settings.grant_key.get_secret_value())
        desks = (Upkeep.of(self.settings, key), Reception(key, self.settings.grant_lifetime_s), ExportClock(key))
        after, pace = NOBODY, Pace(self.settings.tick_s)
        waiting = 0
        while not self.stop.is_set():
            picked = self._pick(connection, after, most_together(waiting))
            after, found = picked.after, len(picked.due)
            if picked.due:
                self._ring(connection, bell, picked, waiting, key)
            for desk in desks:
                desk.tend(connection, bell)
            if self._has_heard(connection, pace.after(found, waiting=waiting)):
                pace.stir()
            # Asked only where there is a backlog: a burst's first doorbells are for one upload each.
            waiting = _waiting(bell) if found > 1 else 0

    def _has_heard(self, connection: psycopg.Connection[Any], rest: Rest) -> bool:
        """Rest, and whether somebody called."""
        self.stop.wait(rest.deaf_s)
        return bool(rest.listen_s and list(connection.notifies(timeout=rest.listen_s, stop_after=1)))

    def _pick(self, connection: psycopg.Connection[Any], after: UUID, together: int) -> Picked:
        return pick(
            connection,
            after=after,
            window=self.settings.dispatch_window,
            cap=self.settings.max_in_flight,
            expires=timedelta(seconds=self.settings.doorbell_expires_s),
            together=together,
        )

    def _ring(
        self, connection: psycopg.Connection[Any], bell: Bell, picked: Picked, waiting: int, key: GrantKey
    ) -> None:
        doorbells = [self._doorbell(ring, picked.now_s, key) for ring in together(picked.due, waiting=waiting)]
        try:
            forgotten = bell.ring(doorbells, most=self.settings.dispatch_window)
        except BrokerLostError as error:
            # Rows whose doorbell did go out may be rung for twice: the claim lets one in.
            _log.warning("broker_lost", rows=len(picked.due), error=str(error))
            unmark(connection, picked.due)
            self.stop.wait(self.settings.tick_s)
            return
        if forgotten:
            _log.warning("doorbells_unheard", forgotten=forgotten)
        organisations = len({row.org_id for row in picked.due})
        _log.info("dispatched", rows=len(picked.due), doorbells=len(doorbells), organisations=organisations)

    def _doorbell(self, ring: Sequence[Due], now_s: float, key: GrantKey) -> Doorbell:
        org_id, (first, *also) = ring[0].org_id, [row.id for row in ring]
        lifetime_s = self.settings.grant_lifetime_s
        grant = mint(key, org_id=org_id, subject=first, also=also, now_s=now_s, lifetime_s=lifetime_s)
        memo = vouch(key, grant, org_id=org_id, now_s=now_s, lifetime_s=lifetime_s)
        return Doorbell(org_id, (first, *also), grant, memo)


def _waiting(bell: Bell) -> int:
    try:
        return bell.waiting()
    except BrokerLostError:
        return 0  # it will be met, and said, when there is something to ring for

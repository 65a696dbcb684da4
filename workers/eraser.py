"""An erasure's way: from the doorbell to the proof that nothing is left. Everything may be done twice."""

import time
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from sqlalchemy import Engine

from workers.doorbell import ERASE_TASK
from workers.drain import Drain
from workers.erasures import Erasure, Erasures, Traces
from workers.errors import AttemptError, ForOperator
from workers.exports import zip_prefix
from workers.intake import Refused
from workers.refused import Refusals
from workers.remains import Place, Remains
from workers.stores import Storage
from workers.telemetry import log
from workers.territory import OutsideTerritory
from workers.uploads import call_folder
from workers.zips import Zips

#: What one doorbell may take, about.
SLICE_S = 20.0
#: How long one call is one worker's: it takes seconds.
_LEASE = timedelta(minutes=2)
#: Until the next try: of the store's own, and of what a person has to see to first.
_SOON, _LATER = timedelta(seconds=30), timedelta(minutes=5)
_log = log("worker")


@dataclass(frozen=True, slots=True)
class Eraser:
    """What a worker process holds for its erasures. Thread-safe."""

    engine: Engine
    refusals: Refusals
    store: Storage
    drain: Drain
    slice_s: float = SLICE_S

    def carry_out(self, grant: str) -> None:
        """Answer a doorbell: what was planned for the organisation that the database reads in the grant, and ZIPs that
        nobody may fetch any more. Raises nothing but a fault of our own, or of the database."""
        if self.drain.begun:
            return
        erasures = Erasures(self.engine, grant)
        try:
            org_id = erasures.organisation()
            remains = Remains(self.store.within(org_id), org_id)
            self._erase_all(erasures, remains)
            if not self.drain.begun:
                Zips(self.engine, grant, remains).clear()
        except psycopg.errors.InsufficientPrivilege:
            if self.refusals.report(Refused(task=ERASE_TASK), grant) is None:
                raise
        except AttemptError as error:
            _log.warning("zips_wait", code=error.code)

    def _erase_all(self, erasures: Erasures, remains: Remains) -> None:
        ends_at = time.monotonic() + self.slice_s
        while not self.drain.begun and time.monotonic() < ends_at:
            erasure = erasures.claim(_LEASE)
            if erasure is None:
                return
            self._erase(erasures, remains, erasure)

    def _erase(self, erasures: Erasures, remains: Remains, erasure: Erasure) -> None:
        logger = _log.bind(org_id=str(erasure.org_id), call_id=str(erasure.call_id))
        try:
            objects = remains.erase(places(erasure, erasures.traces(erasure)))
        except AttemptError as error:
            erasures.put_off(erasure, error.code, _LATER if isinstance(error, ForOperator) else _SOON)
            logger.warning("erasure_waits", code=error.code)
        except OutsideTerritory:
            # A key in a row that is not the organisation's: nothing is deleted on the word of such a row.
            erasures.put_off(erasure, "object_outside", _LATER)
            logger.warning("erasure_waits", code="object_outside")
        else:
            if erasures.finish(erasure, objects=objects):
                logger.info("recording_erased", objects=objects)


def places(erasure: Erasure, traces: Traces) -> list[Place]:
    """Where to look: the folders of the call, whatever its uploads have left there; the keys that its rows name; and
    the ZIPs of every attempt at an export that had it in."""
    folders = {call_folder(erasure.org_id, erasure.call_id, born) for born in traces.born}
    zips = {zip_prefix(erasure.org_id, export_id) for export_id in traces.exports}
    return [Place(prefix, is_prefix=True) for prefix in sorted(folders | zips)] + [
        Place(key, is_prefix=False) for key in sorted(set(traces.keys))
    ]

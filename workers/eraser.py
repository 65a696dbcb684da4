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
from workers.intake import Refused
from workers.refused import Refusals
from workers.remains import Remains
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
        erasures, zips = Erasures(self.engine, grant), Zips(self.engine, grant, self.store)
        ends_at = time.monotonic() + self.slice_s
        try:
            while not self.drain.begun and time.monotonic() < ends_at and (erasure := erasures.claim(_LEASE)):
                self._erase(erasures, erasure)
            if not self.drain.begun:
                zips.clear()
        except psycopg.errors.InsufficientPrivilege:
            if self.refusals.report(Refused(task=ERASE_TASK), grant) is None:
                raise
        except AttemptError as error:
            _log.warning("erasure_waits", code=error.code)

    def _erase(self, erasures: Erasures, erasure: Erasure) -> None:
        logger = _log.bind(org_id=str(erasure.org_id), call_id=str(erasure.call_id))
        try:
            remains = Remains(self.store.within(erasure.org_id), erasure.org_id)
            objects = remains.erase(prefixes(erasure, erasures.traces(erasure)))
        except AttemptError as error:
            wait = _LATER if isinstance(error, ForOperator) else _SOON
            erasures.put_off(erasure, error.code, wait)
            logger.warning("erasure_waits", code=error.code)
        except OutsideTerritory:
            # A key in a row that is not the organisation's: nothing is deleted on the word of such a row.
            erasures.put_off(erasure, "object_outside", _LATER)
            logger.error("erasure_waits", code="object_outside")
        else:
            if erasures.finish(erasure, objects=objects):
                logger.info("recording_erased", objects=objects)


def prefixes(erasure: Erasure, traces: Traces) -> list[str]:
    """Where to look: the folders of the call, whatever its uploads have left there; keys that are elsewhere; and the
    ZIPs of every attempt at an export that had it in."""
    folders = {call_folder(erasure.org_id, erasure.call_id, born) for born in traces.born}
    elsewhere = {key for key in traces.keys if not key.startswith(tuple(folders))}
    zips = {zip_prefix(erasure.org_id, export_id) for export_id in traces.exports}
    return sorted(folders | elsewhere | zips)

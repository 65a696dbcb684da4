"""Answering a user's request for a recording: a link to one object of one organisation, for minutes (section 9)."""

import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from workers.doorbell import DOWNLOAD_TASK
from workers.downloads import Asked, Downloads
from workers.errors import AttemptError
from workers.intake import Refused
from workers.refused import Refusals
from workers.store import Stored
from workers.stores import Storage
from workers.telemetry import log

_log = log("worker")


@dataclass(frozen=True, slots=True)
class Linker:
    """What a worker process holds for its links. Thread-safe."""

    engine: Engine
    refusals: Refusals
    store: Storage
    lifetime: timedelta

    def carry_out(self, grant: str, download_id: UUID) -> None:
        """Answer a doorbell. The link is made after the object was looked at: it is there, and it is what was stored.
        While the store is away the request waits; the dispatcher rings again until its patience ends."""
        downloads = Downloads(self.engine, grant)
        try:
            asked = downloads.asked(download_id)
            if asked is None:
                _log.info("download_stale", download_id=str(download_id))
                return
            self.answer(downloads, asked)
        except psycopg.errors.InsufficientPrivilege:
            if self.refusals.report(Refused(task=DOWNLOAD_TASK), grant) is None:
                raise
        except AttemptError as error:
            _log.warning("download_waits", download_id=str(download_id), code=error.code)

    def answer(self, downloads: Downloads, asked: Asked) -> None:
        """Link to the object, if it is there and as it was stored; else the request has failed."""
        store, began = self.store.within(asked.org_id), time.monotonic()
        stored = store.head(asked.key) if asked.key else None
        code = problem(asked, stored)
        if stored is None or code is not None:
            downloads.failed(asked, code or "object_missing")
            _log.error("download_failed", download_id=str(asked.id), org_id=str(asked.org_id), code=code)
            return
        url = store.link(stored.key, content_type=stored.content_type, filename=asked.filename, lifetime=self.lifetime)
        left = self.lifetime - timedelta(seconds=time.monotonic() - began)
        if downloads.ready(asked, url, left):
            _log.info("download_ready", download_id=str(asked.id), org_id=str(asked.org_id))


def problem(asked: Asked, stored: Stored | None) -> str | None:
    """Why there can be no link; None if the object is the one that was stored. Of an object in parts the store knows no
    hash of the whole: its size has to do, and whoever downloads it compares the hash."""
    if stored is None:
        return "object_missing"
    if stored.size_bytes != asked.size_bytes or stored.sha256 not in (None, asked.sha256):
        return "object_differs"
    return None

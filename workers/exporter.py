"""Answering a request for many recordings: one ZIP, streamed from the store to the store, and a link to it (section 9).

A worker that dies midway leaves no ZIP: the next one begins anew, under a name of its own.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import psycopg

from workers.archive import archive
from workers.doorbell import EXPORT_TASK
from workers.drain import Drain
from workers.errors import AttemptError, Interrupted, LeaseLost, RecordingError, StoreUnavailable
from workers.exports import Export, Exports, Part
from workers.heartbeat import Heartbeat
from workers.intake import Refused
from workers.payload import Payload
from workers.refused import Refusals
from workers.store import Store
from workers.stores import Storage
from workers.telemetry import log

#: The user watches.
_TOLD_EVERY_S = 1.0
_AT_ONCE, _LATER = timedelta(0), timedelta(seconds=30)


class UnfitError(RecordingError):
    """A recording of the export is not what was stored. ``code`` goes on the export's row."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Exporter:
    """What a worker process holds for its exports. Thread-safe."""

    exports: Exports
    refusals: Refusals
    store: Storage
    drain: Drain
    lifetime: timedelta

    def carry_out(self, grant: str, export_id: UUID) -> None:
        """Answer a doorbell. Whatever comes of it stands on the rows; with the store away, or the worker told to stop,
        the export is put back."""
        if self.drain.begun:
            return
        try:
            export = self.exports.claim(grant, export_id)
            if export is None:
                log("worker").info("export_stale", export_id=str(export_id))
            else:
                _Attempt(self, grant, export).run()
        except psycopg.errors.InsufficientPrivilege:
            if self.refusals.report(Refused(task=EXPORT_TASK), grant) is None:
                raise


@dataclass(frozen=True, slots=True)
class Packed:
    """The ZIP is stored, and ``url`` leads to it; it was signed at ``signed_at``, by the monotonic clock."""

    size_bytes: int
    sha256: str
    url: str
    signed_at: float


class _Attempt:
    def __init__(self, exporter: Exporter, grant: str, export: Export) -> None:
        self.exports, self.lifetime = exporter.exports, exporter.lifetime
        self.grant, self.export = grant, export
        self.store: Store = exporter.store.within(export.org_id)
        self.beat = Heartbeat(self.exports, grant, export, exporter.drain, every_s=_TOLD_EVERY_S)
        self.log = log("worker").bind(export_id=str(export.id), org_id=str(export.org_id), attempt=export.attempt)

    def run(self) -> None:
        try:
            self._settle(self._outcome())
        except LeaseLost:
            # Revoked, or another attempt's. What was stored is this attempt's own, and nobody's.
            self.log.warning("export_lost")
            self._forget()

    def _outcome(self) -> Packed | UnfitError | AttemptError | Interrupted:
        """Pack, and say how it went. The lease is the only thing that can be lost on the way."""
        export = self.export
        payload = Payload(self._beating(archive(export, lambda: self.exports.parts(self.grant, export), self._read)))
        try:
            self.store.put(export.key, "application/zip", payload)
            signed_at = time.monotonic()
            url = self.store.link(
                export.key, content_type="application/zip", filename=export.filename, lifetime=self.lifetime
            )
        except (UnfitError, AttemptError, Interrupted) as ending:
            return ending
        return Packed(payload.size_bytes, payload.digest().hex(), url, signed_at)

    def _settle(self, outcome: Packed | UnfitError | AttemptError | Interrupted) -> None:
        """Write the outcome down, and log it once it stands."""
        exports, grant, export = self.exports, self.grant, self.export
        match outcome:
            case Packed(size_bytes, digest, url, signed_at):
                left = self.lifetime - timedelta(seconds=time.monotonic() - signed_at)
                exports.ready(grant, export, size_bytes=size_bytes, sha256=digest, url=url, left=left)
                self.log.info("export_ready", recordings=export.recordings_total, size_bytes=size_bytes)
            case UnfitError():
                exports.failed(grant, export, outcome.code)
                self.log.error("export_failed", code=outcome.code)
            case Interrupted():
                exports.put_back(grant, export, pause=_AT_ONCE)
                self.log.info("export_put_back", code="interrupted")
            case _:
                exports.put_back(grant, export, pause=_LATER)
                self.log.warning("export_put_back", code=outcome.code)

    def _beating(self, stream: Iterator[bytes]) -> Iterator[memoryview]:
        for buffer in stream:
            self.beat()
            yield memoryview(buffer)

    def _read(self, part: Part) -> Iterator[bytes]:
        """The recording's bytes, proven by the time of the last: what the manifest says of them is so (law 6)."""
        if part.key is None:
            raise UnfitError("object_missing")
        digest, size_bytes = sha256(), 0
        try:
            for buffer in self.store.get(part.key):
                digest.update(buffer)
                size_bytes += len(buffer)
                yield buffer
        except StoreUnavailable:
            if self.store.head(part.key) is None:
                raise UnfitError("object_missing") from None
            raise
        if (size_bytes, digest.hexdigest()) != (part.size_bytes, part.sha256):
            raise UnfitError("object_differs")
        self.export.done += 1

    def _forget(self) -> None:
        try:
            self.store.remove(self.export.key)
        except AttemptError as error:
            # What is left over is looked for (section 9): the dispatcher rings for that.
            self.log.warning("export_left", code=error.code)

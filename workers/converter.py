"""Answering a user's request for a recording in another format: made once, kept beside the original, and linked to."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import file_digest, sha256
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from workers.audio import FORMATS, Format
from workers.doorbell import RENDITION_TASK
from workers.downloads import Asked, Downloads
from workers.encoding import EncoderLost, Encoding, NoRendition, NotConvertible, RenditionTooLarge
from workers.errors import AttemptError, Interrupted
from workers.intake import Refused
from workers.links import Linker
from workers.payload import Payload
from workers.renditions import Original, Rendition, Renditions, Wanted, rendition_key
from workers.store import Store
from workers.telemetry import log

#: When the store did not answer, or the encoder was lost.
_AGAIN = timedelta(seconds=10)
_AT_ONCE = timedelta(0)
_BUFFER = 1024 * 1024
_KINDS = {kind.extension: kind for kind in FORMATS}
_log = log("worker")


class _Missing(NoRendition):
    """The original is nowhere."""

    code = "object_missing"


class _Differs(NoRendition):
    """The original is not what was stored."""

    code = "object_differs"


@dataclass(frozen=True, slots=True)
class Converter:
    """What a worker process holds for its renditions."""

    engine: Engine
    linker: Linker
    encoding: Encoding

    def carry_out(self, grant: str, download_id: UUID) -> None:
        """Answer a doorbell. Done twice, or by two at once, it is the same rendition, or one that nobody sees."""
        renditions = Renditions(self.engine, grant)
        try:
            wanted = None if self.encoding.drain.begun else renditions.take(download_id)
            if wanted is None:
                _log.info("download_stale", download_id=str(download_id))
            else:
                self._answer(renditions, Downloads(self.engine, grant), wanted)
        except psycopg.errors.InsufficientPrivilege:
            if self.linker.refusals.report(Refused(task=RENDITION_TASK), grant) is None:
                raise

    def _answer(self, renditions: Renditions, downloads: Downloads, wanted: Wanted) -> None:
        asked = Asked(wanted.id, wanted.org_id, wanted.call_id, None, None, None, wanted.format)
        try:
            found = self._rendition(renditions, wanted)
            found_as = replace(asked, key=found.key, size_bytes=found.size_bytes, sha256=found.sha256)
            self.linker.answer(downloads, found_as)
        except NoRendition as error:
            downloads.failed(asked, error.code)
            _log.error("download_failed", download_id=str(asked.id), org_id=str(asked.org_id), code=error.code)
        except Interrupted:
            self._wait(renditions, wanted, _AT_ONCE, "interrupted")
        except EncoderLost:
            self._wait(renditions, wanted, _AGAIN, "encoder_lost")
        except AttemptError as error:
            self._wait(renditions, wanted, _AGAIN, error.code)

    def _wait(self, renditions: Renditions, wanted: Wanted, until: timedelta, code: str) -> None:
        renditions.let_go(wanted, until)
        _log.warning("download_waits", download_id=str(wanted.id), code=code)

    def _rendition(self, renditions: Renditions, wanted: Wanted) -> Rendition:
        """The one that is kept. If its object is gone it is made again: the same, or by another encoder one that takes
        its place."""
        if wanted.original is None:
            raise _Missing
        store, original = self.linker.store.within(wanted.org_id), wanted.original
        kept = renditions.kept(original, wanted.format)
        if kept is not None and store.head(kept.key) is not None:
            return kept
        made = self._make(store, original, _KINDS[wanted.format])
        if kept is not None and kept != made:
            renditions.forget(original, wanted.format, kept)
        renditions.keep(original, wanted.format, made)
        standing = renditions.kept(original, wanted.format)
        if standing is None or standing.key != made.key:
            # Another's stands; or the recording was erased meanwhile, and nothing of it may stay.
            store.remove(made.key)
        if standing is None:
            raise _Missing
        _log.info("rendition_made", download_id=str(wanted.id), org_id=str(wanted.org_id), size_bytes=made.size_bytes)
        return standing

    def _make(self, store: Store, original: Original, wanted: Format) -> Rendition:
        with ExitStack() as files:
            # Without a name: whatever ends this process, nothing of a recording stays on this machine's disk.
            source, target = (files.enter_context(TemporaryFile()) for _ in range(2))
            self._read(store, original, source)
            kind = _KINDS.get(original.key.rpartition(".")[2])
            if kind is None:
                raise NotConvertible
            self.encoding.encode(source, target, kind.name, wanted.name)
            target.seek(0)
            digest = file_digest(target, "sha256").hexdigest()
            made = Rendition(rendition_key(original.key, digest, wanted.extension), target.tell(), digest)
            target.seek(0)
            store.put(made.key, wanted.content_type, Payload(_buffers(target), length=made.size_bytes))
        return made

    def _read(self, store: Store, original: Original, source: IO[bytes]) -> None:
        if original.size_bytes > self.encoding.most_bytes:
            raise RenditionTooLarge
        if store.head(original.key) is None:
            raise _Missing
        digest, size = sha256(), 0
        for buffer in store.get(original.key):
            size += len(buffer)
            if size > original.size_bytes:
                break
            digest.update(buffer)
            source.write(buffer)
            if self.encoding.drain.over:
                raise Interrupted
        source.flush()
        if (size, digest.hexdigest()) != (original.size_bytes, original.sha256):
            raise _Differs


def _buffers(file: IO[bytes]) -> Iterator[memoryview]:
    while buffer := file.read(_BUFFER):
        yield memoryview(buffer)

"""A user's side of a download: ask, wait for the link, fetch it, and compare the bytes with what was stored (law 6)."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import urllib3
from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import DBAPIError

from schema.tenancy import user_transaction
from workers.tokens import User

_LOOK_EVERY_S = 1.0
_BUFFER = 1024 * 1024
#: A refusal of ours begins with its code.
_REFUSAL = re.compile(r"[a-z]+(_[a-z]+)+: ")
_ASK = text("SELECT public.request_recording_download(:call_id, :reason, :format)")
_ASK_MANY = text("SELECT public.request_recording_export(:call_ids, :reason, CAST(:filter AS jsonb))")
_LOOK = text("""
SELECT d.status, d.url, d.error_code, d.sha256,
       CASE WHEN d.format IS NULL THEN c.recording_size_bytes END, coalesce(d.format, c.recording_format)
FROM public.recording_downloads AS d JOIN public.call_logs AS c ON c.org_id = d.org_id AND c.id = d.call_id
WHERE d.id = :id
""")
_LOOK_AT_ALL = text("""
SELECT e.status, e.error_code, e.recordings_done, e.recordings_total, e.sha256, e.size_bytes,
       (SELECT d.url FROM public.recording_downloads AS d WHERE d.export_id = e.id AND d.status = 'ready' LIMIT 1)
FROM public.recording_exports AS e WHERE e.id = :id
""")


class DownloadError(Exception):
    """The recording was not handed out. The message begins with a code, and holds no link."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where the recording is for some minutes, and what must come from there; how much, where that is known before."""

    url: str
    sha256: str
    size_bytes: int | None
    format: str


@dataclass(frozen=True, slots=True)
class Pickup:
    """``engine`` logs in as authenticator, and so does ``listener``, which commits each statement."""

    engine: Engine
    listener: psycopg.Connection[Any]
    user: User

    def ask(self, call_id: UUID, reason: str, wanted: str | None = None) -> UUID:
        """Put the request on record: for the recording as it is stored, or in a format. Raises ``DownloadError`` where
        the database refuses, in its words."""
        return self._ask(_ASK, call_id=call_id, reason=reason, format=wanted)

    def ask_for_many(self, call_ids: Sequence[UUID] | None, criteria: Mapping[str, str], reason: str) -> UUID:
        """The same for an export: of these calls, or of those that ``criteria`` find."""
        found = json.dumps(dict(criteria)) if call_ids is None else None
        return self._ask(_ASK_MANY, call_ids=call_ids and list(call_ids), filter=found, reason=reason)

    def _ask(self, statement: TextClause, **parameters: object) -> UUID:
        self.listener.execute("LISTEN recording_downloads")
        try:
            with self._as_user() as connection:
                found: UUID = connection.execute(statement, parameters).scalar_one()
        except psycopg.Error as error:
            if _REFUSAL.match(error.diag.message_primary or ""):
                raise DownloadError(error.diag.message_primary) from None
            raise
        return found

    def wait(self, download_id: UUID, within_s: float) -> Link:
        """The link, as soon as it is there. A notification that was missed costs a second."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with self._as_user() as connection:
                status, url, code, digest, size, kind = connection.execute(_LOOK, {"id": download_id}).one()
            if status == "ready":
                return Link(url, digest, size, kind)
            if status != "requested":
                raise DownloadError(f"{code or status}: there will be no link for this request")
            self._hear(download_id)
        raise DownloadError(f"not_answered: no link within {within_s:g} s; are a dispatcher and a worker running?")

    def wait_for_zip(self, export_id: UUID, within_s: float, progress: Callable[[int, int], None]) -> Link:
        """The link to an export, as soon as it is there; ``progress`` hears how many of how many it has."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with self._as_user() as connection:
                status, code, done, total, digest, size, url = connection.execute(_LOOK_AT_ALL, {"id": export_id}).one()
            progress(done, total)
            if status == "ready":
                return Link(url, digest, size, "zip")
            if status not in {"requested", "processing"}:
                raise DownloadError(f"{code or status}: there will be no ZIP for this request")
            self._hear(export_id)
        raise DownloadError(f"not_answered: no ZIP within {within_s:g} s; it goes on, and --within is how long to wait")

    def _hear(self, asked: UUID) -> None:
        """Until there is news of this request, or a second. Others' are heard too: each look is a connection."""
        any(note.payload == str(asked) for note in self.listener.notifies(timeout=_LOOK_EVERY_S))

    @contextmanager
    def _as_user(self) -> Iterator[Connection]:
        """Errors are psycopg's: SQLAlchemy's repeat what was asked, and for whom."""
        try:
            with user_transaction(self.engine, self.user.claims) as connection:
                yield connection
        except DBAPIError as error:
            raise (error.orig or error) from None


def fetch(link: Link, out: Path, progress: Callable[[int], None]) -> None:
    """The bytes into ``out``, which appears when they are all there and proven; nothing is left behind otherwise."""
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            digest = _stream(link.url, file.write, progress)
        if digest != link.sha256:
            raise DownloadError("integrity_mismatch: what came is not what was stored; it was thrown away")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _stream(url: str, write: Callable[[bytes], object], progress: Callable[[int], None]) -> str:
    digest = sha256()
    try:
        with (
            urllib3.PoolManager(timeout=30.0, retries=False) as pool,
            closing(pool.request("GET", url, preload_content=False, redirect=False)) as answer,
        ):
            if answer.status != 200:
                raise DownloadError(f"store_denied: the store answered {answer.status}; links end after some minutes")
            for piece in answer.stream(_BUFFER, decode_content=False):
                digest.update(piece)
                write(piece)
                progress(len(piece))
    except urllib3.exceptions.HTTPError as error:
        raise DownloadError(f"store_unavailable: the store could not be read ({type(error).__name__})") from None
    return digest.hexdigest()

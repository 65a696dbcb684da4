"""One recording, one PUT: the way of nearly every upload. Create-only, checked by the store against the SHA-256 that
ends the body, on a kept-alive connection, in constant memory."""

import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import chain
from typing import Any

from workers.bucket import Bucket
from workers.chunks import Chunks
from workers.errors import IntegrityMismatch, StoreDenied, StoreUnavailable
from workers.framing import TRAILER, framed_length, frames
from workers.head import Head
from workers.payload import Payload
from workers.refusals import error_code, refusal
from workers.wire import Shelf, Wire

_LONGEST_ERROR = 16 * 1024
_LAST_WORDS_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The store's reply: a checksum if it stored the object and says so."""

    status: int
    code: str
    sha256: str | None


class _Broken(Exception):
    """The connection failed before an answer."""


@dataclass(slots=True)
class _Send:
    """The state of one PUT: whether it can still begin again."""

    head: bytes
    payload: Payload
    first: memoryview
    is_past_first: bool = False

    def buffers(self) -> Iterator[memoryview]:
        yield from chain((self.first,), self._rest())

    def _rest(self) -> Iterator[memoryview]:
        for buffer in self.payload:
            self.is_past_first = True
            yield buffer


@dataclass(slots=True)
class SinglePut:
    """``credentials`` gives botocore's, refreshed as they age (roles), frozen for the request. Safe for threads."""

    bucket: Bucket
    credentials: Callable[[], Any]
    sse: str | None
    tls: ssl.SSLContext | None
    shelf: Shelf
    connect_timeout_s: float
    timeout_s: float
    _origin: str = field(default="store", init=False)

    def put(self, key: str, content_type: str, payload: Payload) -> bool:
        """Store the payload, whose length is known. True: the store named the checksum it verified; False: it said only
        yes. Raises ObjectExists, and errors.* of store and payload; nothing is stored then, whatever was sent."""
        length = payload.length or 0
        first = next(payload, memoryview(b""))
        answer = self._answer(_Send(self._head(key, content_type, length), payload, first))
        if answer.status != 200:
            raise refusal(answer.status, answer.code)
        if answer.sha256 is None:
            return False
        if answer.sha256 != b64encode(payload.digest()).decode():
            raise IntegrityMismatch
        return True

    def _head(self, key: str, content_type: str, length: int) -> bytes:
        credentials = self.credentials()
        if credentials is None:
            raise StoreDenied("No credentials for the object store: set AWS_ACCESS_KEY_ID, or give a role.")
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(framed_length(length)),
            "If-None-Match": "*",
            "x-amz-decoded-content-length": str(length),
            "x-amz-trailer": TRAILER,
            **encryption_headers(self.sse),
        }
        if self.bucket.at_amazon:
            # S3 takes this away again; other stores, SeaweedFS for one, keep it and serve it with the recording.
            headers["Content-Encoding"] = "aws-chunked"
        return self.bucket.signed_put(key, headers, credentials)

    def _answer(self, send: _Send) -> Answer:
        """On a kept connection if there is one. That may have been closed meanwhile (a restart): then once more on a
        fresh one, as long as the first buffer is all that was taken from the source. Create-only makes it harmless."""
        kept = self.shelf.take(self._origin)
        if kept is not None:
            try:
                return self._try(kept, send)
            except _Broken as error:
                if send.is_past_first:
                    raise StoreUnavailable from error
        try:
            return self._try(self._dial(), send)
        except _Broken as error:
            raise StoreUnavailable from error

    def _try(self, wire: Wire, send: _Send) -> Answer:
        try:
            complete = self._send(wire, send)
            answer, is_reusable = _read(wire, self.timeout_s if complete else _LAST_WORDS_S)
        except BaseException:
            # The framing has no end yet, and so the store no object: whatever went wrong, it must stay that way.
            wire.close()
            raise
        if complete and is_reusable:
            self.shelf.put(self._origin, wire)
        else:
            wire.close()  # what was left unsent would be read as the next request
        return answer

    def _send(self, wire: Wire, send: _Send) -> bool:
        """False if the store answered, or closed, before it had everything."""
        head = send.head
        for parts in frames(send.buffers(), send.payload):
            # On TLS, "readable" may only be a session ticket: there the answer is met when sending fails.
            if not head and not wire.is_tls and wire.is_readable():
                return False
            try:
                wire.send(head + parts[0], *parts[1:])
            except TimeoutError as error:
                raise StoreUnavailable("The object store stopped reading.") from error
            except OSError:
                return False
            head = b""
        return True

    def _dial(self) -> Wire:
        try:
            sock = socket.create_connection((self.bucket.host, self.bucket.port), timeout=self.connect_timeout_s)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_hostname=self.bucket.host)
            sock.settimeout(self.timeout_s)
        except OSError as error:
            raise StoreUnavailable("The object store cannot be reached.") from error
        return Wire(sock)


def _read(wire: Wire, within_s: float) -> tuple[Answer, bool]:
    """The answer, and whether the connection may serve again."""
    try:
        head = wire.answer(within_s=within_s)
        body, is_whole = _body(wire, head)
    except TimeoutError as error:
        raise StoreUnavailable("The object store did not answer in time.") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _Broken from error
    return Answer(head.status, error_code(body), head.get(TRAILER)), is_whole and not head.closes and wire.is_drained


def _body(wire: Wire, head: Head) -> tuple[bytes, bool]:
    """What the store says, up to the longest that is worth hearing, and whether that is all."""
    length = head.length  # asked first: an answer that says two things is none
    if not head.is_chunked:
        body = wire.reader.read(_LONGEST_ERROR if length is None else min(length, _LONGEST_ERROR))
        return body, len(body) == length
    chunks, view, filled = Chunks(wire.reader), memoryview(bytearray(_LONGEST_ERROR)), 0
    while filled < len(view) and (count := chunks.readinto(view[filled:])):
        filled += count
    return bytes(view[:filled]), chunks.is_over


def encryption_headers(sse: str | None) -> dict[str, str]:
    """``AES256``, ``aws:kms`` or ``aws:kms:KEY`` (RECORDINGS_SSE) as headers."""
    if sse is None:
        return {}
    if sse.startswith("aws:kms:"):
        return {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": sse.removeprefix("aws:kms:"),
        }
    return {"x-amz-server-side-encryption": sse}

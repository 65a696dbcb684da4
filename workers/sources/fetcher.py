"""Fetching from addresses that others chose: kept-alive connections, checked addresses, redirects followed by hand.

No proxy, no cookie, no decoding, no automatic retry. The single exception: a kept connection that the provider closed
before it answered is replaced by a fresh one, once.
"""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from time import monotonic
from typing import Self

from workers.errors import (
    AttemptError,
    CredentialsMissing,
    SourceBlocked,
    SourceError,
    SourceTimeout,
    SourceTruncated,
    SourceUnreachable,
)
from workers.head import Head
from workers.sources.address import AddressRules, Network
from workers.sources.body import Body, Stream, announced, continues, validator
from workers.sources.dial import Dialer, Resolver, addresses_of
from workers.sources.request import Request
from workers.sources.target import Origin, Target
from workers.wire import Shelf, Wire

_REDIRECTS = (301, 302, 303, 307, 308)
_SWITCHING = 101
_WORTH_DRAINING = 16 * 1024


class Fetcher:
    """One for a whole process: threads share its idle connections. ``networks`` are fetched from although they are
    private, over http too."""

    def __init__(
        self,
        networks: Sequence[Network] = (),
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 30.0,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = addresses_of,
    ) -> None:
        rules = AddressRules.of(networks)
        self._dialer = Dialer(rules, tls or ssl.create_default_context(), resolver, connect_timeout_s, read_timeout_s)
        self._shelf = Shelf()
        self._read_timeout_s = read_timeout_s
        self._open_within_s = connect_timeout_s + read_timeout_s

    def open(self, request: Request) -> Body:
        """The recording's body, from its first byte. Raises errors.* only; redirects and all, answers within the two
        timeouts' sum or so, so that a lease is not lost to a provider that leads around."""
        target, expires_at = Target.parse(request.url), monotonic() + self._open_within_s
        authorization = request.authorization_for(target.origin.host)
        for _ in range(request.redirects + 1):
            wire, head = self._ask(target, authorization, {}, expires_at)
            if head.status not in _REDIRECTS:
                return self._body(request, target, authorization, wire, head)
            location = head.get("location")
            self._let_go(target.origin, wire, head)
            if not location:
                raise SourceError("The provider redirected to nowhere.")
            before, target = target, target.redirected(location)
            if target.origin != before.origin:
                authorization = None  # for good: coming back does not bring it back
        raise SourceBlocked("The provider redirected too often.")

    def close(self) -> None:
        self._shelf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, request: Request, target: Target, authorization: str | None, wire: Wire, head: Head) -> Body:
        failure = request.failure(head.status, head.get("retry-after"))
        if failure is not None:
            self._let_go(target.origin, wire, head)
            raise failure
        try:
            stream = Stream.of(wire, head, self._read_timeout_s)
        except SourceError:
            wire.close()
            raise
        same, total = validator(head), stream.remaining
        resume = None if same is None or total is None else partial(self._rest, target, authorization, same, total)
        return Body(stream, resume=resume, keep=partial(self._shelf.put, target.origin))

    def _rest(self, target: Target, authorization: str | None, same: str, total: int, start: int) -> Stream:
        """The body again, from ``start``; SourceTruncated if the provider will not, or the file is another now."""
        headers = {"Range": f"bytes={start}-", "If-Range": same}
        wire, head = self._ask(target, authorization, headers, monotonic() + self._open_within_s)
        if not continues(head, start=start, total=total):
            wire.close()
            raise SourceTruncated
        return Stream.of(wire, head, self._read_timeout_s)

    def _ask(
        self, target: Target, authorization: str | None, extra: dict[str, str], expires_at: float
    ) -> tuple[Wire, Head]:
        question = _question(target, authorization, extra)
        kept = self._shelf.take(target.origin)
        if kept is not None:
            with suppress(SourceUnreachable):
                return kept, self._exchange(kept, question, expires_at)
        wire = self._dialer.dial(target.origin, expires_at)
        return wire, self._exchange(wire, question, expires_at)

    def _exchange(self, wire: Wire, question: bytes, expires_at: float) -> Head:
        try:
            wire.send(question)
            return wire.answer(within_s=expires_at - monotonic())
        except (OSError, HTTPException, ValueError) as error:
            wire.close()
            raise _understood(error) from error

    def _let_go(self, origin: Origin, wire: Wire, head: Head) -> None:
        """Keep the connection if the rest of an unwanted answer is short and ends, else close it."""
        with suppress(OSError, HTTPException, SourceError):
            length = announced(head)
            is_short = length is not None and length <= _WORTH_DRAINING and head.status != _SWITCHING
            if is_short and not head.closes and len(wire.reader.read(length)) == length and wire.is_quiet():
                self._shelf.put(origin, wire)
                return
        wire.close()


def _question(target: Target, authorization: str | None, extra: dict[str, str]) -> bytes:
    headers = {
        "Host": target.origin.host_header,
        "User-Agent": "recording-pipeline",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **extra,
    }
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise SourceError("The provider's own tag for the file is not one that can be sent back.")
    if authorization is not None:
        if not (authorization.isascii() and authorization.isprintable()):
            raise CredentialsMissing("The stored credentials hold characters that cannot be sent.")
        headers["Authorization"] = authorization
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _understood(error: Exception) -> AttemptError:
    """What it means that no answer could be read."""
    if isinstance(error, TimeoutError):
        return SourceTimeout()
    if isinstance(error, OSError):
        return SourceUnreachable("The provider closed the connection without an answer.")
    return SourceError("The provider's answer is not HTTP.")

"""The bytes of one recording as they arrive, whole or not at all: a body that ends early is an error, never a short
file. Where the provider allows it, a broken read goes on from where it broke."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from time import monotonic
from typing import Self

from workers.chunks import Chunks
from workers.errors import SourceError, SourceTimeout, SourceTruncated
from workers.head import Garbled, Head
from workers.wire import Wire

RESUMPTIONS = 3
_PATIENCE_S = 1.0
"""A slow source hands over what it has after this long, so that whoever reads can renew the lease."""
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


def announced(head: Head) -> int | None:
    """The length of its body, or None if that is chunked or ends with the connection. SourceError if that cannot be
    told."""
    try:
        return head.length
    except Garbled as error:
        raise SourceError(f"The provider {error}.") from error


@dataclass(slots=True)
class Stream:
    """One answer's body on its connection. ``remaining`` is None where the answer does not say how long it is."""

    wire: Wire
    head: Head
    wait_s: float
    remaining: int | None
    chunks: Chunks | None

    @classmethod
    def of(cls, wire: Wire, head: Head, wait_s: float) -> Self:
        """SourceError if the framing is not to be trusted: a cut body could pass as complete."""
        return cls(wire, head, wait_s, announced(head), Chunks(wire.reader) if head.is_chunked else None)

    def readinto(self, view: memoryview) -> int:
        """What one read of the socket gives, at most; 0 at the end, however it came about."""
        self.wire.expires_at = monotonic() + self.wait_s
        if self.chunks is not None:
            return self.chunks.readinto(view)
        if self.remaining is None:
            return self.wire.reader.readinto1(view)
        count = self.wire.reader.readinto1(view[: self.remaining])
        self.remaining -= count
        return count

    @property
    def is_reusable(self) -> bool:
        is_over = self.remaining == 0 if self.chunks is None else self.chunks.is_over
        return is_over and not self.head.closes and self.wire.is_quiet()


class Body:
    """``length`` as announced, or None. Close it, or use it in a ``with``."""

    def __init__(
        self,
        stream: Stream,
        *,
        resume: Callable[[int], Stream] | None,
        keep: Callable[[Wire], None],
    ) -> None:
        self.length = stream.remaining
        self.received = 0
        self._stream = stream
        self._resume = resume
        self._keep = keep
        self._left = RESUMPTIONS

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as the source does so in about a second, at least one byte; 0 is the proven end. Raises
        SourceTruncated, SourceTimeout, SourceError."""
        if self.length is not None:
            view = view[: self.length - self.received]
        filled, until = 0, monotonic() + _PATIENCE_S
        while filled < len(view) and (not filled or monotonic() < until):
            count = self._some(view[filled:])
            if not count:
                break
            filled += count
            self.received += count
        return filled

    def _some(self, view: memoryview) -> int:
        count = self._try(view)
        if count or self.length is None:
            return count
        self._go_on()
        count = self._try(view)
        if not count:  # resumed and got nothing: asking again would only hold the lease in silence
            raise SourceTruncated
        return count

    def _try(self, view: memoryview) -> int:
        """0 where the connection broke off, if its length is known and so the loss can be made good."""
        try:
            return self._stream.readinto(view)
        except TimeoutError as error:
            raise SourceTimeout from error
        except Garbled as error:
            raise SourceError(f"The provider {error}.") from error
        except (OSError, HTTPException) as error:
            if self.length is None:
                raise SourceTruncated from error
            return 0

    def _go_on(self) -> None:
        if self._resume is None or not self._left:
            raise SourceTruncated
        self._left -= 1
        self._stream.wire.close()
        self._stream = self._resume(self.received)

    def close(self) -> None:
        """The connection is kept if the body was read to its end."""
        if self._stream.is_reusable:
            self._keep(self._stream.wire)
        else:
            self._stream.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def validator(head: Head) -> str | None:
    """What proves, in If-Range, that the rest belongs to the same file; None if a broken read cannot be resumed."""
    if (head.get("accept-ranges") or "").lower() != "bytes":
        return None
    tag = head.get("etag") or ""
    return tag if tag.startswith('"') else head.get("last-modified")


def continues(head: Head, *, start: int, total: int) -> bool:
    """Whether this is exactly the rest of the file, from ``start`` to its end."""
    match = _RANGE.fullmatch(head.get("content-range") or "")
    if head.status != 206 or match is None:
        return False
    return tuple(map(int, match.groups())) == (start, total - 1, total) and announced(head) == total - start

"""Bytes on their way to the store: counted and hashed once, as they pass."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Self

from workers.errors import SourceTruncated
from workers.hashing import Hash


class Payload:
    """An iterator over buffers, each valid until the next is asked for: nothing is kept. ``length`` is what was
    announced, None if nothing was; more or less than it raises SourceTruncated. The digest covers what has passed so
    far, which at the end is everything. A ``Beside`` for the hash asks more of the source: that each buffer stays as it
    is until the next but one is asked for."""

    def __init__(
        self, buffers: Iterable[memoryview], *, length: int | None = None, hashing: Hash | None = None
    ) -> None:
        self.length = length
        self.size_bytes = 0
        self._buffers = iter(buffers)
        self._hash = sha256() if hashing is None else hashing

    def __iter__(self) -> Iterator[memoryview]:
        return self

    def __next__(self) -> memoryview:
        buffer = next(self._buffers, None)
        if buffer is None:
            if self.length not in (None, self.size_bytes):
                raise SourceTruncated
            raise StopIteration
        self._hash.update(buffer)
        self.size_bytes += len(buffer)
        if self.length is not None and self.size_bytes > self.length:
            raise SourceTruncated("The body is longer than its announced length.")
        return buffer

    def digest(self) -> bytes:
        return self._hash.digest()

    def drain(self) -> Self:
        """Read to the end for the digest alone: the store already has an object to compare with."""
        for _ in self:
            pass
        return self

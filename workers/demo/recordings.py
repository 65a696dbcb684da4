"""Recordings that cost nothing to keep: real WAV files (8 kHz, mono, 16 bit), functions of a seed and a size."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

HEADER = 44
BLOCK = 64 * 1024
_RATE = 8000


@dataclass(frozen=True, slots=True)
class Recording:
    """``size`` bytes in all, 44 at least. Any part can be made without the rest: a gigabyte is served from no memory.
    The sound is quiet noise; no two blocks, seeds or sizes are alike, so that a swapped or lost block shows."""

    seed: int
    size: int

    def __len__(self) -> int:
        return self.size

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from ``start`` to the end, in pieces of a block or less."""
        if start < HEADER:
            yield _header(self.size)[start:]
            start = HEADER
        index, offset = divmod(start - HEADER, BLOCK)
        position = start
        while position < self.size:
            piece = _noise(self.seed, index)[offset : offset + self.size - position]
            yield piece
            position, index, offset = position + len(piece), index + 1, 0

    def bytes(self) -> bytes:
        return b"".join(self.blocks())


def wav(seed: int, size: int) -> bytes:
    """A whole recording at once."""
    return Recording(seed, size).bytes()


def _header(size: int) -> bytes:
    if size < HEADER:
        raise ValueError("a WAV file has 44 bytes at least")
    data = (size - HEADER) & ~1  # whole samples; an odd byte at the end is padding
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", data + 36, b"WAVE", b"fmt ", 16, 1, 1, _RATE, _RATE * 2, 2, 16, b"data", data
    )


@lru_cache(maxsize=64)
def _noise(seed: int, index: int) -> bytes:
    """One block. 32 bits of seed and 32 of index: neighbours have nothing in common."""
    return Random(seed << 32 | index).randbytes(BLOCK)  # noqa: S311 - noise, not a secret

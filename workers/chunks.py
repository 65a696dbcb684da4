"""The data of a chunked body, straight into the caller's buffer. What frames it is outside input as the data is:
sizes are hexadecimal and nothing else, and framing may not outweigh what it frames.
"""

import re
from http.client import IncompleteRead
from typing import Protocol

from workers.head import Garbled

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_LONGEST_LINE = 4096
_MOST_TRAILERS = 64
_SPARE = 64 * 1024
_PER_BYTE = 16
"""Lines of framing may weigh so much, and so much more for each byte of data: a chunk of one byte takes five."""


class Reader(Protocol):
    def readline(self, size: int, /) -> bytes: ...

    def readinto1(self, buffer: memoryview, /) -> int: ...


class Chunks:
    """``is_over`` is the proven end: the last chunk, its trailers, the empty line."""

    def __init__(self, reader: Reader) -> None:
        self.is_over = False
        self._reader = reader
        self._left = 0
        self._is_first = True
        self._framing = 0
        self._data = 0

    def readinto(self, view: memoryview) -> int:
        """What one read gives; 0 at the proven end. IncompleteRead if the connection ends first, Garbled if the
        framing makes no sense."""
        if not self._left and not self.is_over:
            self._left = self._next_size()
        if self.is_over:
            return 0
        count = self._reader.readinto1(view[: self._left])
        if not count:
            raise IncompleteRead(b"")
        self._left -= count
        self._data += count
        return count

    def _next_size(self) -> int:
        if not self._is_first and self._line().strip():
            raise _nonsense()
        self._is_first = False
        match = _SIZE.fullmatch(self._line())
        if match is None:
            raise _nonsense()
        size = int(match[1], 16)
        if not size:
            self._skip_trailers()
            self.is_over = True
        return size

    def _skip_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS):
            if not self._line().strip():
                return
        raise _nonsense()

    def _line(self) -> bytes:
        line = self._reader.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            if len(line) < _LONGEST_LINE:
                raise IncompleteRead(b"")
            raise _nonsense()
        self._framing += len(line)
        if self._framing > _SPARE + _PER_BYTE * self._data:
            raise _nonsense()
        return line


def _nonsense() -> Garbled:
    return Garbled("sent chunks that make no sense")

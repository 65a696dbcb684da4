"""The aws-chunked body of a PUT: chunks of a fixed size, so that its length is known before the first byte is, and the
SHA-256 as a trailer, so that nothing has to be read twice.

    100000 CRLF <1 MiB> CRLF … 61A8 CRLF <rest> CRLF 0 CRLF x-amz-checksum-sha256:<base64> CRLF CRLF

A body that stops short of its end is refused by the store: half a recording cannot be stored.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator

from workers.payload import Payload
from workers.wire import Buffer

CHUNK = 1024 * 1024
TRAILER = "x-amz-checksum-sha256"


def framed_length(length: int) -> int:
    """Bytes on the wire for a body of ``length`` bytes."""
    whole, rest = divmod(length, CHUNK)
    chunks = whole * _framed_chunk(CHUNK) + (_framed_chunk(rest) if rest else 0)
    return chunks + len(_end(bytes(32)))


def frames(buffers: Iterable[memoryview], payload: Payload) -> Iterator[list[Buffer]]:
    """For each buffer what is to be sent, in one go and in turn: a little framing, then data as it lies in the buffer,
    uncopied. The end is sent with the last of the data, and nothing is asked for after it. The payload's length must be
    known."""
    left_in_body, left_in_chunk = payload.length or 0, 0
    framing = b""
    for buffer in buffers:
        rest = buffer
        parts: list[Buffer] = []
        while rest:
            if not left_in_chunk:
                left_in_chunk = min(CHUNK, left_in_body)
                framing += b"%X\r\n" % left_in_chunk
            data, rest = rest[:left_in_chunk], rest[left_in_chunk:]
            parts += [framing, data]
            left_in_chunk -= len(data)
            left_in_body -= len(data)
            framing = b"" if left_in_chunk else b"\r\n"
        if not left_in_body:
            yield [*parts, framing + _end(payload.digest())]
            return
        if parts:
            yield parts
    yield [_end(payload.digest())]


def _framed_chunk(size: int) -> int:
    return len(b"%X\r\n" % size) + size + 2


def _end(digest: bytes) -> bytes:
    return b"0\r\n%s:%s\r\n\r\n" % (TRAILER.encode(), b64encode(digest))

"""The null sink: accepts S3's calls, answers as S3 would, and keeps nothing. It shows the client's own limit.

    python -m bench.servers.sink PORT [LATENCY_MS]

What a client checks is there: the checksum it sent, in a header or a trailer, comes back; ``If-None-Match`` always
succeeds, since nothing is ever there; multipart uploads begin, take parts and complete; a HEAD finds nothing. Bodies
are thrown away inside the kernel where it can do that. Signatures are not looked at.
"""

import re
import socket
import sys
from collections.abc import Generator

from bench.servers.loop import Wait, head, header, main, received, sent

_SCRATCH = bytearray(1024 * 1024)
#: A trailer with its checksum is shorter; what comes before is not looked at.
_TAIL = 512
_CHECKSUM = re.compile(rb"(x-amz-checksum-(?:crc32|crc32c|crc64nvme|sha1|sha256)):\s*([A-Za-z0-9+/=]+)", re.IGNORECASE)
# Linux frees what TCP received without copying it out.
_DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0
_ETAG = b'ETag: "9b2cf535f27731c974343645a3985328"\r\n'
_BEGUN = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
_DONE = b'<CompleteMultipartUploadResult><ETag>"9b2cf535-2"</ETag></CompleteMultipartUploadResult>'
_LISTED = b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"


def talk(connection: socket.socket, latency_s: float = 0.0) -> Generator[Wait]:
    begun = b""
    while (request := (yield from head(connection, begun))) is not None:
        lines, begun = request
        if header(lines, b"expect"):
            yield from sent(connection, b"HTTP/1.1 100 Continue\r\n\r\n")
        tail, begun = yield from _passed(connection, begun, int(header(lines, b"content-length") or 0))
        if latency_s:
            yield latency_s
        yield from sent(connection, answer(lines, tail))


def _passed(connection: socket.socket, begun: bytes, length: int) -> Generator[Wait, None, tuple[bytes, bytes]]:
    """The body's last bytes, where a trailer may be, and what came after the body."""
    body, left = begun[:length], length - len(begun)
    if left <= 0:
        return body[-_TAIL:], begun[length:]
    tail = body[-_TAIL:]
    while left > _TAIL:
        left -= yield from _discarded(connection, min(left - _TAIL, len(_SCRATCH)))
        tail = b""
    while left > 0:
        more = yield from received(connection, left)
        if not more:
            raise ConnectionError
        tail, left = tail + more, left - len(more)
    return tail, b""


def _discarded(connection: socket.socket, size: int) -> Generator[Wait, None, int]:
    while True:
        try:
            count = connection.recv_into(_SCRATCH, size, _DISCARD)
        except BlockingIOError:
            yield 1
            continue
        if not count:
            raise ConnectionError
        return count


def answer(lines: bytes, tail: bytes) -> bytes:
    """What S3 would say to a request with this head, whose body ended so."""
    method, _, rest = lines.partition(b" ")
    query = rest.partition(b" ")[0].partition(b"?")[2]
    if method == b"PUT":
        return _said(b"200 OK", _ETAG + _checksums(lines, tail))
    if method == b"HEAD":
        is_bucket = rest.partition(b" ")[0].partition(b"?")[0].strip(b"/").count(b"/") == 0
        return _said(b"200 OK" if is_bucket else b"404 Not Found", b"")
    if method == b"POST":
        return _said(b"200 OK", b"", _BEGUN if query.startswith(b"uploads") else _DONE)
    if method == b"GET":
        return _said(b"200 OK", b"", _LISTED)
    return _said(b"204 No Content", b"")


def _checksums(lines: bytes, tail: bytes) -> bytes:
    found = _CHECKSUM.search(lines) or _CHECKSUM.search(tail)
    return b"%s: %s\r\n" % (found[1].lower(), found[2]) if found else b""


def _said(status: bytes, headers: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)


if __name__ == "__main__":
    latency = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
    main(lambda connection: talk(connection, latency), sys.argv[1])

"""Recordings of unknown length, or larger than one PUT may be: parts, each verified by its SHA-256, one being uploaded
while the next is read. Memory is two parts, however long the recording."""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from workers.errors import AttemptError, IntegrityMismatch
from workers.payload import Payload
from workers.put import encryption_headers
from workers.refusals import ObjectExists, translated

PART = 5 * 1024 * 1024
MOST_PARTS = 10_000
_GROWTH_EVERY = 900
_LARGEST_PART = 5 * 1024**3

_ARGUMENTS = {
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
}
Part = dict[str, Any]


def encryption_arguments(sse: str | None) -> dict[str, str]:
    """What ``encryption_headers`` says, in boto3's names."""
    return {_ARGUMENTS[name]: value for name, value in encryption_headers(sse).items()}


def part_size(number: int, length: int | None) -> int:
    """Bytes of part ``number`` (from 1), so that S3's 10,000 parts always suffice: even parts where the length is
    known, twice the size after every nine hundred where it is not (5 GB, 14 GB, 33 GB …)."""
    if length is not None:
        return PART * max(1, -(-length // (PART * MOST_PARTS)))
    return min(PART << (number - 1) // _GROWTH_EVERY, _LARGEST_PART)


def parts_of(payload: Payload) -> Iterator[bytearray]:
    """The payload cut into parts, in two buffers by turns: a part is valid until the next but one is asked for."""
    buffers, number = [bytearray(), bytearray()], 1
    carry = memoryview(b"")
    while True:
        size = part_size(number, payload.length)
        if len(buffers[number % 2]) != size:
            buffers[number % 2] = bytearray(size)
        buffer = buffers[number % 2]
        with memoryview(buffer) as into:
            filled, carry = _fill(into, carry, payload)
        if filled < size:
            if filled or number == 1:
                del buffer[filled:]  # in place: boto3 takes no view, and a copy would be a third part in memory
                yield buffer
            return
        yield buffer
        number += 1


def _fill(into: memoryview, carry: memoryview, payload: Payload) -> tuple[int, memoryview]:
    """Fill ``into``; what of the payload's last buffer did not fit is carried on (valid still: no other was asked)."""
    filled, some = 0, carry
    while True:
        count = min(len(some), len(into) - filled)
        into[filled : filled + count] = some[:count]
        filled += count
        if filled == len(into):
            return filled, some[count:]
        buffer = next(payload, None)
        if buffer is None:
            return filled, memoryview(b"")
        some = buffer


@dataclass(frozen=True, slots=True)
class Multipart:
    """``client`` is boto3's; threads may share it."""

    client: Any
    bucket: str
    sse: str | None

    def put(self, key: str, content_type: str, parts: Iterator[bytearray]) -> None:
        """Create the object from ``parts``, or nothing: aborted on any error, an interrupt included. Raises
        ObjectExists, and errors.* of store and payload."""
        with translated():
            created = self.client.create_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",
                **encryption_arguments(self.sse),
            )
        upload = {"Bucket": self.bucket, "Key": key, "UploadId": created["UploadId"]}
        try:
            self._complete(upload, self._send(upload, parts))
        except BaseException:
            with suppress(AttemptError, ObjectExists), translated():  # the bucket's lifecycle rule has the last word
                self.client.abort_multipart_upload(**upload)
            raise

    def _send(self, upload: Part, parts: Iterator[bytearray]) -> list[Part]:
        done: list[Part] = []
        with ThreadPoolExecutor(1, thread_name_prefix="part") as pool:  # leaving waits for the part that is under way
            under_way: Future[Part] | None = None
            for number, part in enumerate(parts, 1):
                if under_way is not None:
                    done.append(under_way.result())
                under_way = pool.submit(self._send_part, upload, number, part)
            if under_way is not None:
                done.append(under_way.result())
        return done

    def _send_part(self, upload: Part, number: int, part: bytearray) -> Part:
        checksum = b64encode(sha256(part).digest()).decode()
        with translated():
            answer = self.client.upload_part(**upload, PartNumber=number, Body=part, ChecksumSHA256=checksum)
        if answer.get("ChecksumSHA256") != checksum:
            raise IntegrityMismatch("The object store did not confirm a part's checksum.")
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _complete(self, upload: Part, parts: list[Part]) -> None:
        with translated():
            answer = self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        if answer.get("ChecksumSHA256") != composite([part["ChecksumSHA256"] for part in parts]):
            raise IntegrityMismatch


def composite(checksums: list[str]) -> str:
    """S3's checksum of an object in parts: the hash of the parts' hashes, and how many there are."""
    whole = sha256(b"".join(b64decode(checksum) for checksum in checksums)).digest()
    return f"{b64encode(whole).decode()}-{len(checksums)}"

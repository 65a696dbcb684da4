"""One organisation's part of the bucket, for the sweep: listed, looked at, and put aside. Never another's.

Every call goes through ``_own``, which refuses a key outside ``{org_id}/``. The only other place that is written is
``quarantine/{org_id}/``. An object is removed from where it was after its copy has been compared with it, and only as
the very object that was copied.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from workers.errors import IntegrityMismatch
from workers.multipart import encryption_arguments
from workers.refusals import ObjectExists, translated
from workers.store import SINGLE_LIMIT, Store, look, whole_sha256
from workers.sweep import Kept, Listed, Unfinished
from workers.territory import QUARANTINE, Territory


@dataclass(frozen=True, slots=True)
class Held:
    """An object as the store describes it. ``checksum`` is as the store writes it: of the whole, or of its parts."""

    size_bytes: int
    checksum: str | None
    etag: str

    @property
    def sha256(self) -> str | None:
        return whole_sha256(self.checksum)


@dataclass(frozen=True, slots=True)
class Premises:
    store: Store
    org_id: UUID

    @property
    def territory(self) -> Territory:
        return Territory(self.org_id)

    def holds(self, key: str) -> bool:
        return self.territory.holds(key)

    def objects(self, after: str = "") -> Iterator[Listed]:
        """The organisation's objects behind the key ``after``, a page at a time."""
        for page in self._pages("list_objects_v2", StartAfter=after):
            for entry in page.get("Contents", ()):
                yield Listed(self.territory.listed(entry["Key"]), entry["Size"], entry["LastModified"])

    def unfinished(self) -> Iterator[Unfinished]:
        """Its multipart uploads that are not at their end."""
        for page in self._pages("list_multipart_uploads"):
            for entry in page.get("Uploads", ()):
                yield Unfinished(self.territory.listed(entry["Key"]), entry["UploadId"], entry["Initiated"])

    def _pages(self, operation: str, **more: Any) -> Iterator[Any]:
        with translated():
            yield from self._client.get_paginator(operation).paginate(
                Bucket=self._bucket, Prefix=self.territory.prefix, **more
            )

    def head(self, key: str) -> Held | None:
        return self._head(self._own(key))

    def abort(self, unfinished: Unfinished) -> None:
        """Give its parts back. One that is gone already is as good."""
        with translated():
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._own(unfinished.key), UploadId=unfinished.multipart_id
                )
            except self._client.exceptions.NoSuchUpload:
                return

    def copy_aside(self, key: str, held: Held) -> bool:
        """Have a proven copy in quarantine. False, and nothing has changed, where that cannot be: the object is too
        large for one copy, or is another one by now, or something else lies in its place."""
        own = self._own(key)
        return held.size_bytes <= SINGLE_LIMIT and self._copy(own, QUARANTINE + own, held)

    def remove(self, key: str, held: Held) -> None:
        """Take away what was copied aside, unless it is another object by now."""
        with suppress(ObjectExists), translated():
            self._client.delete_object(Bucket=self._bucket, Key=self._own(key), IfMatch=held.etag)

    def put_back(self, key: str) -> bool:
        """Copy the object back out of quarantine, unless there is one again. True if it was put back."""
        held = self._head(QUARANTINE + self._own(key))
        return held is not None and self._copy(QUARANTINE + key, key, held)

    def has_aside(self, row: Kept) -> bool:
        """Whether quarantine has exactly what the row says: its size and its SHA-256."""
        aside = QUARANTINE + self._own(row.key)
        held = self._head(aside)
        return (
            held is not None and held.size_bytes == row.size_bytes and (held.sha256 or self._read(aside)) == row.sha256
        )

    def _copy(self, source: str, target: str, held: Held) -> bool:
        """Create-only. A copy that is there already, from a sweep that was killed, is as good if it is equal."""
        try:
            with translated():
                self._client.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    CopySourceIfMatch=held.etag,
                    IfNoneMatch="*",
                    ChecksumAlgorithm="SHA256",
                    **encryption_arguments(self.store.sse),
                )
        except ObjectExists:
            return self._is_equal(source, held, target)
        if not self._is_equal(source, held, target):
            raise IntegrityMismatch
        return True

    def _is_equal(self, source: str, held: Held, target: str) -> bool:
        copied = self._head(target)
        if copied is None or copied.size_bytes != held.size_bytes:
            return False
        if held.checksum is not None and copied.checksum == held.checksum:
            return True
        # Some stores keep no checksum, or make one of the whole from one of parts: then both are read.
        return (held.sha256 or self._read(source)) == (copied.sha256 or self._read(target))

    def _head(self, key: str) -> Held | None:
        found = look(self._client, self._bucket, key)
        if found is None:
            return None
        return Held(found["ContentLength"], found.get("ChecksumSHA256"), found["ETag"])

    def _read(self, key: str) -> str:
        digest = sha256()
        for buffer in self.store.get(key):
            digest.update(buffer)
        return digest.hexdigest()

    def _own(self, key: str) -> str:
        return self.territory.own(key)

    @property
    def _client(self) -> Any:
        return self.store.client

    @property
    def _bucket(self) -> str:
        return self.store.bucket

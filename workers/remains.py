"""What is stored of a call, or of an export that is over: every version of it, deleted for good. One organisation's only.

The one place that deletes a recording. What it is asked for is a prefix that belongs to that call alone, or a key; each
goes through the territory, and so does every key that a listing says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import ClientError

from workers.errors import StoreDenied
from workers.refusals import translated
from workers.store import Store
from workers.territory import QUARANTINE, Territory


class ObjectPersists(StoreDenied):
    """The object store said that it deleted an object, and still has it: a lock, or a replica that answers late."""

    code = "object_persists"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker. ``id`` is None where the store knows no versions."""

    key: str
    id: str | None
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Remains:
    """``store`` is one organisation's."""

    store: Store
    org_id: UUID

    def erase(self, prefixes: Sequence[str]) -> int:
        """Delete every version of every object whose key begins so, there and in quarantine, and give back the parts of
        unfinished uploads. Returns how many versions were deleted, once nothing is left: that is looked at.

        Raises ``ObjectPersists``, and the store's errors; then some may be gone, and doing it again goes on."""
        everywhere = [place + prefix for prefix in prefixes for place in ("", QUARANTINE)]
        deleted = sum(self._delete(prefix) for prefix in everywhere)
        if any(self._is_left(prefix) for prefix in everywhere):
            raise ObjectPersists
        return deleted

    def versions(self, prefix: str) -> Iterator[Version]:
        """Delete markers among them: a key says whose call it was, as well."""
        with translated():
            try:
                yield from self._versions(prefix)
            except ClientError as error:
                # A store without versions need not be able to list any.
                if error.response["Error"].get("Code") != "NotImplemented":
                    raise
                yield from self._objects(prefix)

    def delete(self, version: Version) -> None:
        more = {} if version.id is None else {"VersionId": version.id}
        with translated():
            self._client.delete_object(Bucket=self.store.bucket, Key=self._listed(version.key), **more)

    def _delete(self, prefix: str) -> int:
        found = list(self.versions(prefix))
        for version in found:
            self.delete(version)
        for key, multipart_id in self._unfinished(prefix):
            self._abort(key, multipart_id)
        return len(found)

    def _is_left(self, prefix: str) -> bool:
        versions = list(self.versions(prefix))
        return bool(versions) or any(True for _ in self._objects(prefix)) or any(True for _ in self._unfinished(prefix))

    def _versions(self, prefix: str) -> Iterator[Version]:
        for page in self._pages("list_object_versions", prefix):
            for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                yield Version(self._listed(entry["Key"]), entry["VersionId"], entry["LastModified"])

    def _objects(self, prefix: str) -> Iterator[Version]:
        for page in self._pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                yield Version(self._listed(entry["Key"]), None, entry["LastModified"])

    def _unfinished(self, prefix: str) -> Iterator[tuple[str, str]]:
        with translated():
            for page in self._pages("list_multipart_uploads", prefix):
                for entry in page.get("Uploads", ()):
                    yield self._listed(entry["Key"]), entry["UploadId"]

    def _abort(self, key: str, multipart_id: str) -> None:
        with translated():
            try:
                self._client.abort_multipart_upload(Bucket=self.store.bucket, Key=key, UploadId=multipart_id)
            except self._client.exceptions.NoSuchUpload:
                return

    def _pages(self, operation: str, prefix: str) -> Iterator[Any]:
        yield from self._client.get_paginator(operation).paginate(Bucket=self.store.bucket, Prefix=self._listed(prefix))

    def _listed(self, text: str) -> str:
        return Territory(self.org_id).listed(text)

    @property
    def _client(self) -> Any:
        return self.store.client

"""What is stored of a call, or of an export that is over: every version, deleted for good. One organisation's only.

The one place that deletes a recording. Where it looks is a prefix that belongs to that call alone, or a key; each goes
through the territory, and so does every key that a listing says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from botocore.exceptions import ClientError

from workers.errors import ObjectPersists
from workers.refusals import translated
from workers.store import Store, look
from workers.sweep import Unfinished
from workers.territory import EXPORTS, QUARANTINE, Territory


@dataclass(frozen=True, slots=True)
class Place:
    """A key, or all that begin so."""

    text: str
    is_prefix: bool

    def holds(self, key: str) -> bool:
        return key.startswith(self.text) if self.is_prefix else key == self.text

    @property
    def aside(self) -> "Place":
        return Place(QUARANTINE + self.text, self.is_prefix)


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

    def erase(self, places: Sequence[Place]) -> int:
        """Delete every version of every object there, and of its quarantine, and give back the parts of unfinished
        uploads. Returns how many versions were deleted, once nothing is left: that is looked at.

        Raises ``ObjectPersists``, and the store's errors; then some may be gone, and doing it again goes on."""
        # A ZIP is never put aside: it can be made again.
        everywhere = [*places, *(place.aside for place in places if not place.text.startswith(EXPORTS))]
        deleted = sum(self._delete(place) for place in everywhere)
        if any(self._is_left(place) for place in everywhere):
            raise ObjectPersists
        return deleted

    def versions(self, place: Place) -> Iterator[Version]:
        """Delete markers among them: a key says whose call it was, as well."""
        with translated():
            try:
                yield from self._versions(place)
            except ClientError as error:
                # A store without versions need not be able to list any.
                if error.response["Error"].get("Code") != "NotImplemented":
                    raise
                yield from self._objects(place)

    def unfinished(self, place: Place) -> Iterator[Unfinished]:
        with translated():
            for entry in self._entries("list_multipart_uploads", ("Uploads",), place):
                yield Unfinished(entry["Key"], entry["UploadId"], entry["Initiated"])

    def delete(self, version: Version) -> None:
        more = {} if version.id is None else {"VersionId": version.id}
        with translated():
            self._client.delete_object(Bucket=self.store.bucket, Key=version.key, **more)

    def abort(self, item: Unfinished) -> None:
        with translated():
            try:
                self._client.abort_multipart_upload(Bucket=self.store.bucket, Key=item.key, UploadId=item.multipart_id)
            except self._client.exceptions.NoSuchUpload:
                return

    def _delete(self, place: Place) -> int:
        found = list(self.versions(place))
        for version in found:
            self.delete(version)
        for item in list(self.unfinished(place)):
            self.abort(item)
        return len(found)

    def _is_left(self, place: Place) -> bool:
        """Asked in every way that there is: a listing of versions may be older than one of objects, or a HEAD."""
        with translated():
            seen = any(True for _ in self._objects(place)) or any(True for _ in self.versions(place))
        return seen or any(True for _ in self.unfinished(place)) or self._answers(place)

    def _answers(self, place: Place) -> bool:
        return not place.is_prefix and look(self._client, self.store.bucket, place.text) is not None

    def _versions(self, place: Place) -> Iterator[Version]:
        for entry in self._entries("list_object_versions", ("Versions", "DeleteMarkers"), place):
            yield Version(entry["Key"], entry["VersionId"], entry["LastModified"])

    def _objects(self, place: Place) -> Iterator[Version]:
        for entry in self._entries("list_objects_v2", ("Contents",), place):
            yield Version(entry["Key"], None, entry["LastModified"])

    def _entries(self, operation: str, names: tuple[str, ...], place: Place) -> Iterator[Any]:
        prefix = self._territory.reach(place.text) if not place.is_prefix else self._territory.listed(place.text)
        for page in self._client.get_paginator(operation).paginate(Bucket=self.store.bucket, Prefix=prefix):
            for entry in (entry for name in names for entry in page.get(name, ())):
                if place.holds(self._territory.listed(entry["Key"])):
                    yield entry

    @property
    def _territory(self) -> Territory:
        return Territory(self.org_id)

    @property
    def _client(self) -> Any:
        return self.store.client

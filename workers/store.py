"""The organisations' private storage: one bucket, S3, create-only.

Small and known: one PUT (put.py). Unknown or huge: parts (multipart.py). Everything else is boto3's.
"""

from base64 import b64decode
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, Self
from uuid import UUID

import botocore.session
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import ClientError
from botocore.httpsession import get_cert_path

from workers.bucket import Bucket
from workers.catalogue import catalogue
from workers.clients import Clients
from workers.errors import IntegrityMismatch, StoreUnavailable
from workers.multipart import PART, Multipart, parts_of
from workers.payload import Payload
from workers.put import SinglePut
from workers.refusals import ObjectExists, translated
from workers.s3_client import s3_client
from workers.territory import Territory
from workers.wire import Shelf

SINGLE_LIMIT = 5_000_000_000
"""S3 takes 5 GiB in one PUT. Less, to be on the safe side of every store's idea of a gigabyte."""
_BUFFER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store describes it. ``sha256`` is lower-case hex, None if the store keeps only a checksum of
    parts."""

    key: str
    size_bytes: int
    content_type: str
    sha256: str | None


class Store:
    """One for a whole process, for all threads: it holds the connections. Credentials come by boto3's own chain and are
    refreshed as they age; the endpoint from the argument, or by boto3's chain (AWS_ENDPOINT_URL_S3).

    ``within`` gives it to one organisation. Then every key is looked at before the store is asked."""

    territory: Territory | None = None

    def __init__(
        self,
        *,
        bucket: str,
        endpoint_url: str | None = None,
        region: str | None = None,
        sse: str | None = None,
        max_connections: int = 64,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 30.0,
        users_endpoint_url: str | None = None,
    ) -> None:
        self.bucket, self.sse = bucket, sse
        core = botocore.session.get_session()
        core.register_component("data_loader", catalogue())
        core.get_credentials()  # now, and kept: not those that the environment has by the time of the first use
        dial = partial(
            s3_client,
            endpoint_url=endpoint_url,
            region=region,
            max_connections=max_connections,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )
        self._clients, self._shelf = Clients(core, dial, users_endpoint_url), Shelf(places=max_connections)
        place = self._place(endpoint_url, region)
        ca_file = get_cert_path(core.get_config_variable("ca_bundle") or True)
        self._single = SinglePut(
            bucket=place,
            credentials=lambda: (found := core.get_credentials()) and found.get_frozen_credentials(),
            sse=sse,
            tls=place.tls(ca_file),
            shelf=self._shelf,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )

    def _place(self, endpoint_url: str | None, region: str | None) -> Bucket:
        """Where both are said there is nothing for boto3 to find out."""
        if endpoint_url is None or region is None:
            meta = self.client.meta
            endpoint_url, region = meta.endpoint_url, meta.region_name
        return Bucket.at(endpoint_url, self.bucket, region)

    @property
    def client(self) -> Any:
        """boto3's, for what is not the way of an upload (premises.py). Threads may share it."""
        return self._clients.client

    def within(self, org_id: UUID, credentials: RefreshableCredentials | None = None) -> Self:
        """The same store, on the same connections, for one organisation's keys: any other raises ``OutsideTerritory``.
        With ``credentials`` nothing is asked with any others."""
        bound = copy(self)
        bound.territory = Territory(org_id)
        if credentials is not None:
            core = botocore.session.get_session()
            # What boto3 knows of S3 is read from a large file: once a process.
            core.register_component("data_loader", self._clients.core.get_component("data_loader"))
            core._credentials = credentials  # noqa: SLF001 - botocore has no other door for those that refresh
            clients = Clients(core, self._clients.dial, self._clients.users_endpoint_url)
            single = replace(self._single, credentials=credentials.get_frozen_credentials)
            vars(bound).update(_clients=clients, _single=single)
        return bound

    def _own(self, key: str) -> str:
        return key if self.territory is None else self.territory.reach(key)

    def put(self, key: str, content_type: str, payload: Payload) -> None:
        """Create the object, proven equal to the payload; an equal object that is there already is as good. Nothing is
        stored if this raises: errors of the payload's own as they are, StoreDenied, StoreThrottled, StoreUnavailable,
        IntegrityMismatch (also if a different object has the key)."""
        self._own(key)
        try:
            is_proven = self._create(key, content_type, payload)
        except ObjectExists:
            is_proven = False
        if not is_proven:
            self._compare(key, payload.drain())

    def _create(self, key: str, content_type: str, payload: Payload) -> bool:
        if payload.length is not None and payload.length < SINGLE_LIMIT:
            return self._single.put(key, content_type, payload)
        parts = parts_of(payload)
        first = next(parts)
        if len(first) < PART:  # the only part: its length is known now
            return self._single.put(key, content_type, Payload(iter((memoryview(first),)), length=len(first)))
        Multipart(self.client, self.bucket, self.sse).put(key, content_type, chain((first,), parts))
        return True

    def _compare(self, key: str, payload: Payload) -> None:
        stored = self.head(key)
        if stored is None:
            raise StoreUnavailable("An object was in the way and is gone again.")
        if stored.size_bytes != payload.size_bytes:
            raise IntegrityMismatch
        if (stored.sha256 or self._sha256(key)) != payload.digest().hex():
            raise IntegrityMismatch

    def _sha256(self, key: str) -> str:
        """Read it all back: the price of an object in parts, whose checksum is of the parts' checksums."""
        digest = sha256()
        for buffer in self.get(key):
            digest.update(buffer)
        return digest.hexdigest()

    def head(self, key: str) -> Stored | None:
        """What is stored under this key, None if nothing is."""
        found = look(self.client, self.bucket, self._own(key))
        if found is None:
            return None
        return Stored(
            key, found["ContentLength"], found.get("ContentType", ""), whole_sha256(found.get("ChecksumSHA256"))
        )

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, a MiB at a time."""
        with translated():
            body = self.client.get_object(Bucket=self.bucket, Key=self._own(key))["Body"]
            try:
                yield from body.iter_chunks(_BUFFER)
            finally:
                body.close()

    def remove(self, key: str) -> None:
        """Take the object away; none there is as good."""
        with translated():
            self.client.delete_object(Bucket=self.bucket, Key=self._own(key))

    def link(self, key: str, *, content_type: str, filename: str, lifetime: timedelta) -> str:
        """A URL (SigV4, in the query) under which whoever has it gets this one object until ``lifetime`` is over."""
        parameters = {
            "Bucket": self.bucket,
            "Key": self._own(key),
            "ResponseContentType": content_type,
            "ResponseContentDisposition": f'attachment; filename="{filename}"',
        }
        with translated():
            signed: str = self._clients.signer.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=int(lifetime.total_seconds())
            )
        return signed

    def list(self, prefix: str) -> Iterator[str]:
        """Every key that begins so, in order."""
        with translated():
            prefix = prefix if self.territory is None else self.territory.listed(prefix)
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"]

    def check(self) -> None:
        """Raises StoreDenied or StoreUnavailable if the bucket cannot be reached with these credentials."""
        with translated():
            if self.territory is None:
                self.client.head_bucket(Bucket=self.bucket)
            else:  # all that one organisation's credentials may ask
                self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.territory.prefix, MaxKeys=1)

    def close(self) -> None:
        self._shelf.close()
        self._clients.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def look(client: Any, bucket: str, key: str) -> Any:
    """S3's answer to a HEAD; None if nothing has this key. Raises errors of the store."""
    with translated():
        try:
            return client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            # Who may list under a prefix only, as with a role, is told 403 of what is not there; a listing tells.
            if status == 404 or (status == 403 and not _is_listed(client, bucket, key)):
                return None
            raise


def _is_listed(client: Any, bucket: str, key: str) -> bool:
    found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
    return any(entry["Key"] == key for entry in found)


def whole_sha256(checksum: str | None) -> str | None:
    """Hex of a checksum over the whole object; a composite one ends in the number of its parts, and is of no use."""
    return None if checksum is None or "-" in checksum else b64decode(checksum).hex()

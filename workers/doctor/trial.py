"""A trial object: what the store promises, it is made to do, by the workers' own way of storing. Removed afterwards."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from workers.bucket import Bucket
from workers.doctor.network import Place
from workers.doctor.result import Result, ok, warning, wrong
from workers.errors import AttemptError, IntegrityMismatch
from workers.payload import Payload
from workers.put import SinglePut
from workers.refusals import ObjectExists

PREFIX = "doctor/"
_BODY = b"recordings doctor\n"
_STORE = "such a store cannot hold recordings: take another, or a newer release of it"


class Altered(Payload):
    """Bytes that changed on the way: the digest is of others."""

    def digest(self) -> bytes:
        return bytes(32)


@contextmanager
def removed(client: Any, bucket: str) -> Iterator[str]:
    """A key nobody has, and nothing under it afterwards."""
    key = f"{PREFIX}{uuid4()}"
    try:
        yield key
    finally:
        client.delete_object(Bucket=bucket, Key=key)
        # What may not be listed, or where there are no versions, stays: some bytes that the bucket's own rules expire.
        with suppress(ClientError):
            for version in client.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", ()):
                if version["VersionId"] != "null":
                    client.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])


def check(client: Any, single: SinglePut, bucket: str, place: Bucket, where: Place) -> Iterator[Result]:
    """Raises errors of the store where the trial cannot be made."""
    with removed(client, bucket) as key:
        yield _is_refused(
            "bucket.checksums",
            lambda: single.put(key, "text/plain", Altered(_body(), length=len(_BODY))),
            IntegrityMismatch,
            "the store refuses a body that changed on the way",
            "the store takes a body whose checksum is wrong",
        )
    with removed(client, bucket) as key:
        single.put(key, "text/plain", Payload(_body(), length=len(_BODY)))
        yield _is_refused(
            "bucket.create_only",
            lambda: single.put(key, "text/plain", Payload(_body(), length=len(_BODY))),
            ObjectExists,
            "an object that is there is not overwritten (If-None-Match)",
            "the store overwrites an object that is there, whatever If-None-Match says",
        )
        yield judge_encryption(client.head_object(Bucket=bucket, Key=key).get("ServerSideEncryption"), where)
        yield from _strangers(place, key)


def judge_encryption(kind: str | None, where: Place) -> Result:
    """``kind``: as the store names it, None where an object lies as it came."""
    if kind:
        return ok("bucket.encrypted", f"objects are stored encrypted ({kind})")
    judge = warning if where == "here" else wrong
    return judge("bucket.encrypted", "objects are stored as they come, in clear", "set RECORDINGS_SSE, as AES256")


def _body() -> Iterator[memoryview]:
    yield memoryview(_BODY)


def _is_refused(check: str, act: Callable[[], object], refusal: type[Exception], well: str, ill: str) -> Result:
    try:
        act()
    except refusal:
        return ok(check, well)
    except AttemptError as error:
        return wrong(check, f"it could not be tried: {error}", "may this login write to the bucket?")
    return wrong(check, ill, _STORE)


def _strangers(place: Bucket, key: str) -> Iterator[Result]:
    """Somebody without a login, at the object and at the list of all."""
    opened = [
        what for what, path in (("the object", f"/{key}"), ("the list", "?list-type=2")) if _get(place, path) < 400
    ]
    if opened:
        remedy = "block public access of the bucket, and take the policy or ACL away that opens it"
        yield wrong("bucket.private", f"a stranger gets {' and '.join(opened)}", remedy)
    else:
        yield ok("bucket.private", "a stranger gets neither the trial object nor the list of objects")


def _get(place: Bucket, path: str) -> int:
    tls = place.tls(None)
    if tls is None:
        connection = http.client.HTTPConnection(place.host, place.port, timeout=3)
    else:
        connection = http.client.HTTPSConnection(place.host, place.port, timeout=3, context=tls)
    try:
        connection.request("GET", (place.path_prefix + path) if path[0] == "/" else (place.path_prefix or "/") + path)
        return connection.getresponse().status
    finally:
        connection.close()

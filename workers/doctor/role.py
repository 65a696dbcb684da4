"""The role that workers take for each organisation: whether it can be had, and is as narrow as was asked for."""

from collections.abc import Iterator
from typing import Any

from workers.doctor.result import Result, ok, wrong
from workers.errors import AttemptError, StoreDenied
from workers.refusals import translated
from workers.role import Role
from workers.store import Store
from workers.stores import NOBODY

_TRUST = "may these credentials take RECORDINGS_S3_ROLE_ARN (sts:AssumeRole, and the role's trust policy)?"
_RIGHTS = "docs/operations.md, A role for each organisation, has what the role needs"
_ENGINE = "do not use RECORDINGS_S3_ROLE_ARN with this store: it ignores session policies"


def check(sts: Any, arn: str, store: Store) -> Iterator[Result]:
    """As an organisation that does not exist."""
    credentials = Role(sts, arn, store.bucket, store.sse).credentials(NOBODY)
    try:
        credentials.get_frozen_credentials()
    except AttemptError as error:
        yield wrong("bucket.role", f"the role cannot be taken: {error}", _TRUST)
        return
    narrowed = store.within(NOBODY, credentials)
    try:
        narrowed.check()
    except AttemptError as error:
        yield wrong("bucket.role", f"the role does not open an organisation's part: {error}", _RIGHTS)
        return
    try:
        with translated():
            narrowed.client.list_objects_v2(Bucket=store.bucket, MaxKeys=1)
    except StoreDenied:
        yield ok("bucket.role", "the role can be taken for an organisation, and then opens its part only")
    else:
        yield wrong("bucket.role", "taken for one organisation, the role opens the whole bucket", _ENGINE)

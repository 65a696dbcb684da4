"""What the object store's answers mean for an attempt: the one place that knows S3's error codes (DESIGN section 7)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from workers.errors import AttemptError, IntegrityMismatch, StoreDenied, StoreThrottled, StoreUnavailable

_CHANGED_ON_THE_WAY = frozenset(
    {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "ChecksumMismatch"}
)
_THROTTLED = frozenset({"SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException"})
_MISCONFIGURED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "InvalidToken",
        "NoSuchBucket",
        "NotImplemented",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
    }
)
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class ObjectExists(Exception):
    """There is an object under this key already; whether it is the same one is to be found out."""


def error_code(body: bytes) -> str:
    """The code in S3's XML, or nothing: the rest of the page (keys, host names) is not looked at."""
    match = _CODE.search(body)
    return match[1].decode() if match else ""


def refusal(status: int, code: str) -> AttemptError | ObjectExists:
    """Who acts next when the store says this. A code that nobody knows is worth another try."""
    if status == 412 or code == "PreconditionFailed":
        return ObjectExists()
    if code in _CHANGED_ON_THE_WAY:
        return IntegrityMismatch()
    if status == 429 or code in _THROTTLED:
        return StoreThrottled()
    if status in (301, 307, 401, 403) or code in _MISCONFIGURED:
        return StoreDenied(f"The object store refused: {code or status}.")
    return StoreUnavailable(f"The object store answered {code or status}.")


@contextmanager
def translated() -> Iterator[None]:
    """boto3's exceptions as ours. Their text stays behind: it names keys and hosts."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise refusal(status, _code_of(error)) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreDenied("No credentials for the object store: set AWS_ACCESS_KEY_ID, or give a role.") from error
    except BotoCoreError as error:
        raise StoreUnavailable from error


def _code_of(error: ClientError) -> str:
    code = str(error.response.get("Error", {}).get("Code", ""))
    return "NoSuchBucket" if code == "404" and error.operation_name == "HeadBucket" else code

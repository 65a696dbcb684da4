"""The bucket, made and tried with a few signed requests."""

import http.client
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TRIAL = ".ready"
TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a bucket as somebody."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    bucket: str = "recordings"
    region: str = "us-east-1"


def make_bucket(access: Access) -> bool:
    """Make the bucket if need be and prove that it stores: a listening port says little, volumes are assigned later.

    False while the server is not there yet. botocore's signer alone: a boto3 client costs 0.6 s more at every start.
    """
    try:
        made = send(access, "PUT", f"/{access.bucket}")
        return (
            made in (http.client.OK, http.client.CONFLICT)
            and send(access, "PUT", f"/{access.bucket}/{TRIAL}", b"1") == http.client.OK
            and send(access, "DELETE", f"/{access.bucket}/{TRIAL}") == http.client.NO_CONTENT
        )
    except (OSError, http.client.HTTPException):
        return False


def send(access: Access, method: str, path: str, body: bytes = b"") -> int:
    """One request, signed; returns the status."""
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415  a tenth of a second that other commands need not pay
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    request = AWSRequest(method, access.endpoint_url + path, data=body)
    S3SigV4Auth(Credentials(access.access_key_id, access.secret_access_key), "s3", access.region).add_auth(request)
    connection = http.client.HTTPConnection(urlsplit(access.endpoint_url).netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        return connection.getresponse().status
    finally:
        connection.close()

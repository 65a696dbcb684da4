"""The head of a PUT, as botocore would sign it by its own road."""

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from workers.bucket import Bucket
from workers.put import encryption_headers

NOW = datetime(2026, 11, 28, 22, 0, 1, tzinfo=UTC)
KEYS = st.text(st.sampled_from("azAZ09-_.~/ +é"), min_size=1, max_size=40)
WORDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@pytest.mark.parametrize("sse", [None, "AES256", "aws:kms:arn:aws:kms:eu-west-1:1:key/k"])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8333", "https://s3.eu-west-1.amazonaws.com"])
@given(KEYS, WORDS, WORDS, st.none() | WORDS, st.integers(1, 10**10))
def test_it_is_signed_as_by_botocore(
    endpoint: str, sse: str | None, key: str, key_id: str, secret: str, token: str | None, length: int
) -> None:
    bucket = Bucket.at(endpoint, "recordings", "eu-west-1")
    headers = {"Content-Type": "audio/wav", "Content-Length": str(length), "If-None-Match": "*"}
    headers |= {"x-amz-trailer": "x-amz-checksum-sha256", **encryption_headers(sse)}
    credentials = Credentials(key_id, secret, token).get_frozen_credentials()
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        first, *lines = bucket.signed_put(key, headers, credentials).decode().removesuffix("\r\n\r\n").split("\r\n")
        url = f"{endpoint.replace('s3.', 'recordings.s3.')}{first.split()[1]}"
        theirs = AWSRequest("PUT", url, {"Host": bucket.host_header, **headers})
        theirs.context = {"checksum": {"request_algorithm": {"in": "trailer"}}}
        S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(theirs)
    assert dict(line.split(": ", 1) for line in lines) == dict(theirs.headers.items())

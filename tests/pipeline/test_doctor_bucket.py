"""The doctor at a real bucket, opened and set in turn; and at a store that promises everything and does nothing."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from tests.pipeline.s3_server import S3Server
from workers.doctor.examination import examine
from workers.doctor.patient import Patient
from workers.doctor.result import Result, Verdict
from workers.embedded.bucket import Access


def look(access: Access, bucket: str, **more: str) -> dict[str, Result]:
    settings = {
        "RECORDINGS_BUCKET": bucket,
        "AWS_ENDPOINT_URL_S3": access.endpoint_url,
        "AWS_ACCESS_KEY_ID": access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret_access_key,
        "AWS_DEFAULT_REGION": access.region,
    }
    found = {result.check: result for result in examine(Patient(settings | more))}
    assert not any(access.secret_access_key in one.sentence + one.remedy for one in found.values())
    return found


def wrong(found: dict[str, Result]) -> set[str]:
    return {check for check, result in found.items() if result.verdict == Verdict.WRONG}


@pytest.fixture
def client(s3_server: S3Server) -> Any:
    admin = s3_server.seaweedfs.admin
    return boto3.client(
        "s3",
        endpoint_url=admin.endpoint_url,
        aws_access_key_id=admin.access_key_id,
        aws_secret_access_key=admin.secret_access_key,
        region_name=admin.region,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"doctor-{uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    return name


def left(client: Any, bucket: str) -> list[Any]:
    found = client.list_object_versions(Bucket=bucket)
    return [*found.get("Versions", []), *client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_new_bucket_has_nothing_wrong_and_says_what_it_lacks(s3_server: S3Server, client: Any, bucket: str) -> None:
    found = look(s3_server.seaweedfs.admin, bucket)
    assert wrong(found) == set()
    lacks = {check for check, result in found.items() if result.verdict == Verdict.WARNING}
    assert lacks == {"bucket.versioned", "bucket.lifecycle", "bucket.encrypted"}
    assert {"bucket.checksums", "bucket.create_only", "bucket.private"} <= found.keys() - lacks
    assert left(client, bucket) == []


def test_what_it_lacks_can_be_set(s3_server: S3Server, client: Any, bucket: str) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    abort = {"ID": "stale", "Status": "Enabled", "Filter": {"Prefix": ""}}
    rules = [abort | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    found = look(s3_server.seaweedfs.admin, bucket, RECORDINGS_SSE="AES256")
    assert {result.verdict for check, result in found.items() if check.startswith("bucket.")} == {
        Verdict.OK,
        Verdict.UNSEEN,
    }
    assert left(client, bucket) == []


@pytest.mark.parametrize(("action", "resource"), [("s3:GetObject", "/*"), ("s3:ListBucket", "")])
def test_a_bucket_that_a_policy_opens_is_wrong(
    s3_server: S3Server, client: Any, bucket: str, action: str, resource: str
) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{bucket}{resource}"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert "bucket.private" in wrong(look(s3_server.seaweedfs.admin, bucket))


def test_a_worker_s_login_says_what_it_may_not_ask(s3_server: S3Server) -> None:
    found = look(s3_server.access, s3_server.access.bucket)
    assert wrong(found) == set()
    assert found["bucket.acl"].verdict == Verdict.UNSEEN
    assert found["bucket.create_only"].verdict == Verdict.OK


@pytest.mark.parametrize("bucket_name", ["not-there", "recordings"])
def test_a_bucket_that_is_not_there_or_refuses_is_one_finding(s3_server: S3Server, bucket_name: str) -> None:
    access = s3_server.access if bucket_name == "not-there" else Access(s3_server.access.endpoint_url, "who", "hush")
    assert wrong(look(access, bucket_name)) == {"bucket.reached"}


class Careless(BaseHTTPRequestHandler):
    """Says yes to everybody and everything, and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless() -> Iterator[Access]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Access(f"http://127.0.0.1:{server.server_port}", "who", "hush")
        server.shutdown()


def test_a_store_that_checks_nothing_is_wrong(careless: Access) -> None:
    assert wrong(look(careless, "recordings")) == {"bucket.checksums", "bucket.create_only", "bucket.private"}

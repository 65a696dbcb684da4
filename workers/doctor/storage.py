"""The store: reached, asked for its settings, and tried."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import get_cert_path

from workers.bucket import Bucket
from workers.doctor import bucket, network, role, trial
from workers.doctor.clocks import Reading
from workers.doctor.patient import Patient
from workers.doctor.result import Result, ok, unseen, wrong
from workers.errors import AttemptError, StoreDenied
from workers.put import SinglePut
from workers.refusals import translated
from workers.s3_client import s3_client, sts_client
from workers.store import Store
from workers.wire import Shelf

_WITHIN_S = 3.0
_DENIED = "docs/operations.md, store_denied"


class Storage:
    """One look at a bucket, with the credentials of the patient's settings, or by boto3's own chain."""

    def __init__(self, patient: Patient) -> None:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        self.patient = patient
        self.session = session = boto3.session.Session(*(patient.get(name) or None for name in names))
        endpoint, region = patient.get("AWS_ENDPOINT_URL_S3") or None, patient.get("AWS_DEFAULT_REGION") or None
        self.name = patient.get("RECORDINGS_BUCKET")
        self.client = s3_client(
            session,
            endpoint_url=endpoint,
            region=region,
            max_connections=2,
            connect_timeout_s=_WITHIN_S,
            timeout_s=_WITHIN_S,
        )
        self.place = Bucket.at(self.client.meta.endpoint_url, self.name, self.client.meta.region_name)
        self.shelf = Shelf(places=1)
        self.single = SinglePut(
            bucket=self.place,
            credentials=lambda: (found := session.get_credentials()) and found.get_frozen_credentials(),
            sse=patient.get("RECORDINGS_SSE") or None,
            tls=self.place.tls(get_cert_path(verify=True)),
            shelf=self.shelf,
            connect_timeout_s=_WITHIN_S,
            timeout_s=_WITHIN_S,
        )

    def check(self, clocks: dict[str, Reading]) -> Iterator[Result]:
        """The store's clock goes into ``clocks``."""
        arn = self.patient.get("RECORDINGS_S3_ROLE_ARN")
        try:
            clocks["the store"] = self._head()
        except StoreDenied as error:
            if not arn:
                yield wrong("bucket.reached", f"the bucket cannot be used: {error}", _DENIED)
                return
            yield ok("bucket.own", "these credentials open nothing by themselves: as is meant, beside a role")
            yield unseen("bucket.settings", "not checked: they may not ask", "look with the bucket's administrator")
        except AttemptError as error:
            yield wrong("bucket.reached", f"the bucket cannot be used: {error}", _DENIED)
            return
        else:
            yield from self._reached()
        if arn:
            yield from self._role(arn)

    def _reached(self) -> Iterator[Result]:
        yield ok("bucket.reached", f"the bucket {self.name} answers")
        where, is_tls = network.place(self.place.host), self.place.scheme == "https"
        remedy = "use an https:// endpoint"
        yield network.encryption("bucket.tls", where, is_encrypted=is_tls, is_verified=is_tls, remedy=remedy)
        try:
            yield from bucket.check(self.client, self.name)
            yield from trial.check(self.client, self.single, self.name, self.place, where)
        except (AttemptError, BotoCoreError, ClientError, OSError) as error:
            said = str(error) if isinstance(error, AttemptError) else type(error).__name__
            yield wrong("bucket.tried", f"the bucket could not be tried: {said}", "may this login write and delete?")

    def _role(self, arn: str) -> Iterator[Result]:
        patient = self.patient
        endpoint, region = patient.get("AWS_ENDPOINT_URL_S3") or None, patient.get("AWS_DEFAULT_REGION") or None
        sts = sts_client(self.session, region=region, timeout_s=_WITHIN_S)
        with Store(
            bucket=self.name,
            endpoint_url=endpoint,
            region=region,
            sse=patient.get("RECORDINGS_SSE") or None,
            connect_timeout_s=_WITHIN_S,
            timeout_s=_WITHIN_S,
        ) as store:
            yield from role.check(sts, arn, store)

    def _head(self) -> Reading:
        before_s = time.time()
        with translated():
            answer: Any = self.client.head_bucket(Bucket=self.name)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        theirs_s = parsedate_to_datetime(headers["date"]).timestamp()
        return Reading.between(before_s, theirs_s, time.time(), grain_s=1.0)

    def close(self) -> None:
        self.shelf.close()
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

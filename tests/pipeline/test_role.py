"""A role for each organisation, on a real store with its own STS and policy engine: what the code refuses, it refuses
as well."""

import json
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.database import Database
from tests.pipeline.s3_server import MIB, S3Server, payload
from tests.pipeline.yard import AUDIO, Yard
from workers import stores as stores_module
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.doctor import role
from workers.doctor.examination import examine
from workers.doctor.patient import Patient
from workers.doctor.result import Result, Verdict
from workers.embedded import ports
from workers.embedded.bucket import Access
from workers.embedded.process import Process, Program, spawn
from workers.embedded.ready import wait_ready
from workers.embedded.seaweedfs import PORTS, SeaweedFS, write_private
from workers.errors import StoreDenied, StoreUnavailable
from workers.grants import mint
from workers.pipeline import build_uploader
from workers.refusals import translated
from workers.remains import Place, Remains
from workers.role import Role, session_policy
from workers.s3_client import sts_client
from workers.settings import WorkerSettings
from workers.store import Store, look
from workers.stores import RoleStores
from workers.territory import OutsideTerritory, Territory

ROLE = "arn:aws:iam::role/recordings"
# Not drawn: they are in the names of tests, which are the same whoever collects them.
ANN, BOB = UUID("aaaaaaaa-0000-4000-8000-000000000000"), UUID("bbbbbbbb-0000-4000-8000-000000000000")


class WithRoles(SeaweedFS):
    """Its worker may do nothing but take the role, which may do everything in the bucket."""

    def start(self) -> Process:
        process = super().start()
        # The same again, with two options more: the last of a name is believed.
        program = process.program
        process.stop()
        options = ("-s3.iam=true", f"-s3.iam.config={self.directory / 'conf' / 'iam.json'}")
        return spawn(
            Program(
                program.name,
                (*program.argv, *options),
                program.log,
                program.environment,
                cwd=program.cwd,
                stop_within_s=3.0,
                death_signal=program.death_signal,
            )
        )

    def configure(self) -> Path:
        conf = super().configure()
        anything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
        trusted = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole"]}
        roles = {
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": "12h",
                "issuer": "tests",
                "signingKey": b64encode(secrets.token_bytes(32)).decode(),
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "roles": [
                {
                    "roleName": "recordings",
                    "roleArn": ROLE,
                    "trustPolicy": {"Version": "2012-10-17", "Statement": [trusted]},
                    "attachedPolicies": ["all"],
                }
            ],
            "policies": [{"name": "all", "document": {"Version": "2012-10-17", "Statement": [anything]}}],
        }
        write_private(conf / "iam.json", json.dumps(roles))
        return conf

    def identities(self) -> list[dict[str, object]]:
        admin, worker = super().identities()
        return [admin, worker | {"actions": []}]


@pytest.fixture(scope="module")
def roles_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    directory = tmp_path_factory.mktemp("roles")
    chosen = dict(zip(PORTS, ports.pick(len(PORTS)), strict=True))
    endpoint = f"http://127.0.0.1:{chosen['s3.port']}"
    admin, worker = (Access(endpoint, who, secrets.token_hex(16)) for who in ("admin", "worker"))
    seaweedfs = WithRoles(directory, ports=chosen, admin=admin, worker=worker, log=directory / "weed.log")
    server = S3Server(seaweedfs, worker, wait_ready([seaweedfs])["seaweedfs"])
    yield server
    server.process.stop()
    seaweedfs.remove_sockets()


def sts(access: Access) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", access.access_key_id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", access.secret_access_key)
        patch.setenv("AWS_ENDPOINT_URL_STS", access.endpoint_url)
        return sts_client(boto3.session.Session(), region=access.region, timeout_s=5.0)


@dataclass
class Counted:
    """STS, and how often it was asked; what it gives ends when told to."""

    real: Any
    lasts: timedelta | None = None
    asked: int = 0

    def assume_role(self, **given: Any) -> Any:
        self.asked += 1
        taken = self.real.assume_role(**given)
        if self.lasts is not None:
            taken["Credentials"]["Expiration"] = datetime.now(UTC) + self.lasts
        return taken


def stores(server: S3Server, asked: Any = None, arn: str = ROLE, access: Access | None = None) -> RoleStores:
    access = access or server.access
    whole = server.store(access_key_id=access.access_key_id, secret_access_key=access.secret_access_key)
    return RoleStores(whole, Role(asked or sts(access), arn, server.access.bucket, None))


@pytest.fixture(scope="module")
def kept(roles_server: S3Server) -> Iterator[RoleStores]:
    opened = stores(roles_server)
    yield opened
    opened.close()


def key(org_id: UUID) -> str:
    return f"{org_id}/2026/11/{uuid4()}/{uuid4()}.wav"


@pytest.mark.parametrize(("size", "knows_length"), [(20_000, True), (20_000, False), (18 * MIB, False)])
def test_an_organisation_s_recordings_are_stored_and_read(kept: RoleStores, size: int, *, knows_length: bool) -> None:
    store, mine, data = kept.within(ANN), key(ANN), secrets.token_bytes(size)
    store.put(mine, "audio/wav", payload(data, knows_length=knows_length))
    store.put(mine, "audio/wav", payload(data, knows_length=knows_length))
    assert b"".join(store.get(mine)) == data
    assert mine in list(store.list(f"{ANN}/"))
    assert store.head(mine)
    assert store.head(key(ANN)) is None


def test_the_store_itself_refuses_another_s(kept: RoleStores) -> None:
    """Past the code: with what Ann's tasks hold, straight to the store."""
    theirs = key(BOB)
    kept.within(BOB).put(theirs, "audio/wav", payload(b"RIFF"))
    client, bucket = kept.within(ANN).client, kept.whole.bucket
    acts: list[Callable[[], object]] = [
        lambda: client.get_object(Bucket=bucket, Key=theirs),
        lambda: client.head_object(Bucket=bucket, Key=theirs),
        lambda: client.put_object(Bucket=bucket, Key=key(BOB), Body=b"x"),
        lambda: client.delete_object(Bucket=bucket, Key=theirs),
        lambda: client.delete_object(Bucket=bucket, Key=theirs, VersionId="null"),
        lambda: client.list_object_versions(Bucket=bucket, Prefix=f"{BOB}/"),
        lambda: client.copy_object(Bucket=bucket, Key=key(ANN), CopySource={"Bucket": bucket, "Key": theirs}),
        lambda: client.copy_object(Bucket=bucket, Key=theirs, CopySource={"Bucket": bucket, "Key": key(ANN)}),
        lambda: client.create_multipart_upload(Bucket=bucket, Key=key(BOB)),
        lambda: client.put_object(Bucket=bucket, Key=f"quarantine/{theirs}", Body=b"x"),
        lambda: client.list_objects_v2(Bucket=bucket, Prefix=f"{BOB}/"),
        lambda: client.list_objects_v2(Bucket=bucket),
        lambda: client.list_multipart_uploads(Bucket=bucket, Prefix=f"{BOB}/"),
        lambda: client.delete_bucket(Bucket=bucket),
        lambda: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
    ]
    for number, act in enumerate(acts):
        with pytest.raises(StoreDenied), translated():
            pytest.fail(f"{number}: {act()}")
    assert b"".join(kept.within(BOB).get(theirs)) == b"RIFF"


def test_the_worker_s_own_credentials_open_nothing(roles_server: S3Server, kept: RoleStores) -> None:
    mine = key(ANN)
    kept.within(ANN).put(mine, "audio/wav", payload(b"RIFF"))
    with roles_server.store() as plain:
        with pytest.raises(StoreDenied):
            list(plain.get(mine))
        with pytest.raises(StoreDenied):
            plain.put(key(ANN), "audio/wav", payload(b"RIFF"))


def test_whether_the_store_answers_is_asked_in_nobody_s_name(kept: RoleStores) -> None:
    kept.check()


def test_a_sweep_works_within_its_organisation_s_role(
    roles_server: S3Server, kept: RoleStores, database: Database
) -> None:
    admin = roles_server.seaweedfs.admin
    with roles_server.store(access_key_id=admin.access_key_id, secret_access_key=admin.secret_access_key) as everything:
        yard = Yard.open(database, everything)
        orphan = yard.orphan()
        assert yard.sweep(store=kept) == [("object_orphaned", orphan, "quarantined")]
        assert yard.objects() == {f"quarantine/{orphan}": AUDIO}
        yard.desk.close()


def test_an_erasure_works_within_its_organisation_s_role(kept: RoleStores) -> None:
    mine, zipped = key(ANN), f"exports/{ANN}/{uuid4()}-1.zip"
    for one in (mine, f"quarantine/{mine}", zipped):
        kept.within(ANN).put(one, "audio/wav", payload(b"RIFF"))
    remains = Remains(kept.within(ANN), ANN)
    places = [Place(f"{mine.rpartition('/')[0]}/", is_prefix=True), Place(zipped, is_prefix=False)]
    assert remains.erase(places) == 3
    assert kept.within(ANN).head(mine) is None
    with pytest.raises(OutsideTerritory):
        remains.erase([Place(f"{BOB}/", is_prefix=True)])


def test_a_role_that_cannot_be_taken_is_not_replaced_by_what_the_worker_may(roles_server: S3Server) -> None:
    """Here the worker may do everything by itself: the temptation."""
    admin = roles_server.seaweedfs.admin
    opened = stores(roles_server, arn="arn:aws:iam::role/another", access=admin)
    mine = key(ANN)
    for act in (
        lambda: opened.within(ANN).put(mine, "audio/wav", payload(b"RIFF")),
        lambda: opened.within(ANN).put(mine, "audio/wav", payload(bytes(10 * MIB), knows_length=False)),
        lambda: opened.within(ANN).head(mine),
        opened.check,
    ):
        refused: Callable[[], object] = act
        with pytest.raises((StoreDenied, StoreUnavailable)):
            refused()
    assert opened.whole.head(mine) is None
    opened.close()


def test_sts_that_is_away_is_waited_for(roles_server: S3Server) -> None:
    away = sts(Access(f"http://127.0.0.1:{ports.pick(1)[0]}", "who", "what"))
    opened = stores(roles_server, asked=away)
    with pytest.raises(StoreUnavailable):
        opened.within(ANN).put(key(ANN), "audio/wav", payload(b"RIFF"))
    opened.close()


@pytest.mark.parametrize(("lasts", "asked"), [(None, 1), (timedelta(seconds=50), 3)])
def test_credentials_are_kept_until_shortly_before_they_end(
    roles_server: S3Server, lasts: timedelta | None, asked: int
) -> None:
    counted = Counted(sts(roles_server.access), lasts)
    opened = stores(roles_server, counted)
    for _ in range(3):
        opened.within(ANN).put(key(ANN), "audio/wav", payload(b"RIFF"))
    assert counted.asked == asked
    opened.close()


def test_only_so_many_organisations_are_kept(roles_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five, for the test: a client costs a tenth of a second."""
    monkeypatch.setattr(stores_module, "MOST_KEPT", 5)
    opened = stores(roles_server)
    first = opened.within(ANN)
    assert opened.within(ANN) is first
    for number in range(5):
        opened.within(UUID(int=number + 1))
    assert len(opened._kept) == 5
    assert opened.within(ANN) is not first
    opened.close()


def test_the_policy_names_this_organisation_and_fits_into_sts() -> None:
    text = session_policy("recordings", ANN, sse="aws:kms:arn:aws:kms:eu-central-1:123456789012:key/1", partition="aws")
    assert str(BOB) not in text
    assert len(text) < 2048
    objects, lists, key = json.loads(text)["Statement"]
    assert all(f"/{ANN}/*" in resource for resource in objects["Resource"])
    assert lists["Condition"] == {"StringLike": {"s3:prefix": [f"{ANN}/*", f"quarantine/{ANN}/*", f"exports/{ANN}/*"]}}
    assert key["Resource"].endswith("key/1")
    assert "arn:aws-cn:s3" in session_policy("recordings", ANN, partition="aws-cn")


def doctor(access: Access, arn: str) -> dict[str, Result]:
    settings = {
        "RECORDINGS_BUCKET": access.bucket,
        "AWS_ENDPOINT_URL_S3": access.endpoint_url,
        "AWS_ACCESS_KEY_ID": access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret_access_key,
        "AWS_DEFAULT_REGION": access.region,
        "RECORDINGS_S3_ROLE_ARN": arn,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_STS", access.endpoint_url)
        return {result.check: result for result in examine(Patient(settings))}


def test_the_doctor_takes_the_role_and_finds_it_narrow(roles_server: S3Server) -> None:
    found = doctor(roles_server.access, ROLE)
    assert [found[check].verdict for check in ("bucket.own", "bucket.settings", "bucket.role")] == [
        Verdict.OK,
        Verdict.UNSEEN,
        Verdict.OK,
    ]
    assert doctor(roles_server.seaweedfs.admin, ROLE)["bucket.role"].verdict == Verdict.OK
    missing = doctor(roles_server.access, "arn:aws:iam::role/another")["bucket.role"]
    assert (missing.verdict, bool(missing.remedy)) == (Verdict.WRONG, True)


def test_the_doctor_notices_a_store_that_ignores_session_policies(roles_server: S3Server) -> None:
    """It gives the administrator's credentials, whatever it was asked for."""
    admin = roles_server.seaweedfs.admin

    class Generous:
        def assume_role(self, **_: Any) -> Any:
            ends = datetime.now(UTC) + timedelta(hours=1)
            keys = {"AccessKeyId": admin.access_key_id, "SecretAccessKey": admin.secret_access_key}
            return {"Credentials": keys | {"SessionToken": None, "Expiration": ends}}

    with roles_server.store() as store:
        (said,) = role.check(Generous(), ROLE, store)
    assert said.verdict == Verdict.WRONG


def test_a_worker_that_is_told_a_role_stores_with_it(
    roles_server: S3Server, database: Database, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the settings to the completed row: by itself this worker may do nothing in the bucket."""
    settings = {
        "DATABASE_URL": database.url("recording_worker"),
        "REDIS_URL": "redis://localhost",
        "AWS_ACCESS_KEY_ID": roles_server.access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": roles_server.access.secret_access_key,
        "AWS_ENDPOINT_URL_S3": roles_server.access.endpoint_url,
        "AWS_ENDPOINT_URL_STS": roles_server.access.endpoint_url,
        "AWS_DEFAULT_REGION": roles_server.access.region,
        "RECORDINGS_BUCKET": roles_server.access.bucket,
        "RECORDINGS_S3_ROLE_ARN": ROLE,
        "RECORDINGS_PRIVATE_SOURCE_NETWORKS": "127.0.0.0/8",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    uploader = build_uploader(WorkerSettings.load(), worker="test", slots=2)
    org_id = database.organisation()
    url = provider.add("/a.wav", Recording(seed=1, size=30_000))
    upload = database.enqueue(org_id, source_url=url).upload_id
    database.run("UPDATE recording_upload_queue SET dispatched_until = now() + interval '1 minute'")
    try:
        grant = mint(database.key, org_id=org_id, subject=upload, now_s=time.time(), lifetime_s=60)
        uploader.carry_out(grant, upload)
        row = database.one("SELECT status, object_key, error_code FROM recording_upload_queue WHERE id = %s", upload)
        assert (row[0], row[2]) == ("completed", None)
        assert uploader.store.within(org_id).head(row[1])
    finally:
        uploader.queue.engine.dispose()
        uploader.fetcher.close()
        uploader.store.close()


class Amazon:
    """A client as S3 answers one that may list under a prefix only: of what is not there, 403."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def head_object(self, **_: str) -> None:
        forbidden = {"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(forbidden, "HeadObject")

    def list_objects_v2(self, **asked: str) -> dict[str, list[dict[str, str]]]:
        return {"Contents": [{"Key": key} for key in self.keys if key.startswith(asked["Prefix"])]}


def test_what_is_not_there_is_told_from_what_is_forbidden() -> None:
    assert look(Amazon("a.wav.old"), "recordings", "a.wav") is None
    with pytest.raises(StoreDenied):
        look(Amazon("a.wav"), "recordings", "a.wav")


# In the code alone, with any credentials -----------------------------------------------------------------------------

OUTSIDE = (
    f"{BOB}/a.wav",
    "a.wav",
    "",
    f"{ANN}",
    f"{ANN}x/a",
    f"{ANN}/../{BOB}/a",
    f"{ANN}//a",
    f"{ANN}/./a",
    f"/{ANN}/a",
)


@pytest.mark.parametrize("outside", OUTSIDE)
def test_a_store_of_one_organisation_asks_for_nothing_of_another(store: Store, outside: str) -> None:
    bound = store.within(ANN)
    for key_ in (outside, f"quarantine/{outside}"):
        for act in (
            lambda k=key_: bound.put(k, "audio/wav", payload(b"RIFF")),
            lambda k=key_: bound.head(k),
            lambda k=key_: list(bound.get(k)),
        ):
            with pytest.raises(OutsideTerritory) as refused:
                act()
            assert str(BOB) not in str(refused.value)
    assert not Territory(ANN).holds(outside)


@pytest.mark.parametrize("prefix", ["", f"{BOB}/", f"{ANN}", "quarantine/", f"quarantine/{BOB}/"])
def test_a_store_of_one_organisation_lists_nothing_of_another(store: Store, prefix: str) -> None:
    with pytest.raises(OutsideTerritory):
        list(store.within(ANN).list(prefix))

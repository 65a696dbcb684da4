"""Erasures on a real bucket and a real database: with and without versions, locked, interrupted; and nobody else's."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from botocore.exceptions import ClientError

from tests.database import Database
from tests.pipeline.s3_server import S3Server, payload
from tests.pipeline.yard import AUDIO, Yard
from tests.waiting import until
from workers.drain import Drain
from workers.eraser import Eraser
from workers.erasure_report import erase, hold, read_code, read_receipt
from workers.refused import Refusals
from workers.remains import Place, Remains
from workers.store import Store
from workers.territory import EXPORTS, QUARANTINE
from workers.uploads import Upload, object_key

_DUE_AGAIN = "UPDATE app.erasures SET next_attempt_at = now() WHERE org_id = %s AND erased_at IS NULL"
BUCKETS = ("recordings", "versions", "locks")


@dataclass
class Graveyard:
    """One organisation, its recordings, and the worker that erases them."""

    yard: Yard

    @classmethod
    def open(cls, database: Database, store: Store) -> "Graveyard":
        return cls(Yard.open(database, store))

    def eraser(self, store: Any = None) -> Eraser:
        engine = self.yard.desk.engine
        return Eraser(engine, Refusals(engine, "a worker of the yard"), store or self.yard.store, Drain(1.0))

    def carry_out(self, store: Any = None) -> None:
        self.eraser(store).carry_out(self.yard.desk.grant)

    def recording(self, data: bytes = AUDIO) -> tuple[UUID, str]:
        upload = self.yard.claimed()
        self.yard.put(object_key(upload, "wav"), data)
        return upload.call_id, self.yard.complete(upload, data)

    def ask(self, call_id: UUID) -> None:
        with self.yard.desk.database.connect("recording_ops") as operator:
            assert erase(operator, call_id, "the patient asked", "somebody") == "erasing"

    def is_erased(self, call_id: UUID) -> bool:
        with self.yard.desk.database.connect("recording_ops") as operator:
            return read_receipt(operator, call_id) is not None

    def code(self, call_id: UUID) -> str | None:
        with self.yard.desk.database.connect("recording_ops") as operator:
            return read_code(operator, call_id)

    def due_again(self) -> None:
        self.yard.desk.database.run(_DUE_AGAIN, self.yard.org_id)

    def stored(self, prefix: str = "") -> list[str]:
        """Every version of everything, under whatever prefix the organisation has."""
        places = [prefix] if prefix else [f"{place}{self.yard.org_id}/" for place in ("", QUARANTINE, EXPORTS)]
        client, bucket, found = self.yard.store.client, self.yard.store.bucket, []
        for place in places:
            listed = client.list_object_versions(Bucket=bucket, Prefix=place)
            found += [one["Key"] for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))]
        return sorted(found)


@pytest.fixture(scope="module")
def admin(s3_server: S3Server) -> Any:
    access = s3_server.seaweedfs.admin
    client = s3_server.store(access_key_id=access.access_key_id, secret_access_key=access.secret_access_key).client
    client.create_bucket(Bucket="versions")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    client.create_bucket(Bucket="locks", ObjectLockEnabledForBucket=True)
    return client


@pytest.fixture
def stores(s3_server: S3Server, admin: Any) -> Iterator[dict[str, Store]]:
    """As the administrator: the worker of these tests has one bucket."""
    access = s3_server.seaweedfs.admin
    credentials = {"access_key_id": access.access_key_id, "secret_access_key": access.secret_access_key}
    opened = {bucket: s3_server.store(**credentials, bucket=bucket) for bucket in BUCKETS}
    yield opened
    for store in opened.values():
        store.close()


@pytest.fixture(params=["recordings", "versions"])
def graveyard(shared: Database, stores: dict[str, Store], request: pytest.FixtureRequest) -> Iterator[Graveyard]:
    opened = Graveyard.open(shared, stores[request.param])
    yield opened
    opened.yard.desk.close()


def test_every_version_of_every_object_of_the_call_goes_and_nothing_else(graveyard: Graveyard) -> None:
    yard = graveyard.yard
    neighbour = Graveyard.open(yard.desk.database, yard.store)
    call_id, key = graveyard.recording()
    _, kept = graveyard.recording()
    _, theirs = neighbour.recording()
    folder = key.rpartition("/")[0]
    yard.overwrite(key, AUDIO * 2)
    yard.put(QUARANTINE + key)
    yard.put(f"{folder}/{uuid4()}.mp3")
    yard.start_parts(f"{folder}/{uuid4()}.wav")
    yard.put(f"{folder}-of-another-name/x.wav")
    graveyard.ask(call_id)
    graveyard.carry_out()
    assert graveyard.is_erased(call_id)
    assert graveyard.stored() == sorted([kept, f"{folder}-of-another-name/x.wav"])
    assert yard.parts_under_way() == []
    assert yard.store.head(key) is None
    assert yard.read(kept) == yard.read(theirs) == AUDIO
    neighbour.yard.desk.close()


def test_what_was_deleted_before_and_has_versions_goes_for_good(shared: Database, stores: dict[str, Store]) -> None:
    graveyard = Graveyard.open(shared, stores["versions"])
    call_id, key = graveyard.recording()
    graveyard.yard.delete(key)
    assert graveyard.stored() == [key, key], "the recording, and the mark that hides it"
    graveyard.ask(call_id)
    graveyard.carry_out()
    assert graveyard.stored() == []
    assert graveyard.is_erased(call_id)
    graveyard.yard.desk.close()


def test_a_locked_object_keeps_the_erasure_open_with_a_code_until_it_can_go(
    shared: Database, stores: dict[str, Store]
) -> None:
    graveyard = Graveyard.open(shared, stores["locks"])
    (call_id, key), (free_id, free) = graveyard.recording(), graveyard.recording()
    over = datetime.now(UTC) + timedelta(seconds=5)
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": over}
    graveyard.yard.store.client.put_object_retention(Bucket="locks", Key=key, Retention=retention)
    graveyard.ask(call_id)
    graveyard.ask(free_id)
    graveyard.carry_out()
    assert (graveyard.code(call_id), graveyard.is_erased(call_id)) == ("store_denied", False)
    assert graveyard.is_erased(free_id), "one that cannot go does not hold up the others"
    assert key in graveyard.stored()
    assert free not in graveyard.stored()
    until(lambda: datetime.now(UTC) > over, timeout_s=10.0)
    graveyard.due_again()
    graveyard.carry_out()
    assert (graveyard.code(call_id), graveyard.is_erased(call_id)) == (None, True)
    assert graveyard.stored() == []
    graveyard.yard.desk.close()


class Died(Exception):
    """As a kill does it: nothing is caught or tidied up."""


@dataclass
class Interrupted:
    """A store whose worker dies after so many deletions."""

    store: Store
    after: int

    def within(self, org_id: UUID) -> Any:
        store = self.store.within(org_id)
        clients = copy(store._clients)
        clients._client = Client(store.client, self)
        vars(store)["_clients"] = clients
        return store


@dataclass
class Client:
    real: Any
    dying: Interrupted

    def __getattr__(self, name: str) -> Any:
        if name == "delete_object":
            if self.dying.after == 0:
                raise Died
            self.dying.after -= 1
        return getattr(self.real, name)


def test_a_worker_that_dies_anywhere_is_finished_by_the_next(graveyard: Graveyard) -> None:
    for after in range(3):
        call_id, key = graveyard.recording()
        graveyard.yard.put(QUARANTINE + key)
        graveyard.ask(call_id)
        if after < 2:
            with pytest.raises(Died):
                graveyard.carry_out(Interrupted(graveyard.yard.store, after))
            assert not graveyard.is_erased(call_id)
            graveyard.carry_out()
            assert not graveyard.is_erased(call_id), "it is the other worker's, for a while"
            with graveyard.yard.desk.database.connect("recording_ops") as operator:
                assert hold(operator, call_id, "too late", "somebody", held=True) == "already_erased"
        graveyard.due_again()
        graveyard.carry_out()
        assert graveyard.is_erased(call_id)
        assert graveyard.stored() == []


def test_a_store_that_is_away_or_refuses_is_waited_for(graveyard: Graveyard, s3_server: S3Server) -> None:
    call_id, key = graveyard.recording()
    graveyard.ask(call_id)
    graveyard.carry_out(s3_server.store(secret_access_key="wrong"))
    assert (graveyard.code(call_id), graveyard.is_erased(call_id)) == ("store_denied", False)
    graveyard.due_again()
    graveyard.carry_out(s3_server.store(endpoint_url="http://127.0.0.1:9"))
    assert graveyard.code(call_id) == "store_unavailable"
    assert graveyard.stored() == [key]
    graveyard.due_again()
    graveyard.carry_out()
    assert graveyard.is_erased(call_id)


def test_a_store_that_knows_no_versions_is_asked_for_objects(
    graveyard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    org_id = graveyard.yard.org_id
    _, key = graveyard.recording()

    def refuse(*_: object) -> Any:
        answer = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
        raise ClientError(answer, "ListObjectVersions")

    monkeypatch.setattr(Remains, "_versions", refuse)
    remains = Remains(graveyard.yard.store.within(org_id), org_id)
    assert remains.erase([Place(key, is_prefix=False)]) == 1
    assert graveyard.yard.store.head(key) is None


def test_a_key_elsewhere_in_a_row_deletes_nothing(graveyard: Graveyard) -> None:
    neighbour = Graveyard.open(graveyard.yard.desk.database, graveyard.yard.store)
    _, theirs = neighbour.recording()
    call_id, _ = graveyard.recording()
    move = "UPDATE recording_upload_queue SET object_key = %s WHERE call_id = %s"
    graveyard.yard.desk.database.run(move, theirs, call_id)
    graveyard.ask(call_id)
    graveyard.carry_out()
    assert (graveyard.code(call_id), graveyard.is_erased(call_id)) == ("object_outside", False)
    assert neighbour.stored() == [theirs]
    neighbour.yard.desk.close()


def zombie(graveyard: Graveyard) -> tuple[UUID, Upload]:
    """A call that is erased while a worker that is thought dead still has its upload."""
    upload = graveyard.yard.claimed()
    graveyard.yard.give_up(upload)
    graveyard.ask(upload.call_id)
    return upload.call_id, upload


def test_what_a_worker_that_was_thought_dead_stores_after_is_erased_by_the_sweep(graveyard: Graveyard) -> None:
    call_id, upload = zombie(graveyard)
    graveyard.carry_out()
    assert graveyard.is_erased(call_id)
    late = graveyard.yard.put(object_key(upload, "wav"))
    assert graveyard.yard.sweep() == [("object_orphaned", late, "erased")]
    assert graveyard.stored() == []


def test_a_sweep_lets_alone_what_is_about_to_be_erased_and_misses_nothing_that_is(graveyard: Graveyard) -> None:
    call_id, key = graveyard.recording()
    _, upload = zombie(graveyard)
    late = graveyard.yard.put(object_key(upload, "wav"))
    graveyard.ask(call_id)
    assert graveyard.yard.sweep() == []
    assert graveyard.stored() == sorted([key, late])
    graveyard.carry_out()
    assert graveyard.yard.sweep() == []
    assert graveyard.stored() == []


def export(
    graveyard: Graveyard, call_id: UUID, status: str, *, stored: bool = True, attempt: int = 1
) -> tuple[UUID, str]:
    """A row of an export with this recording in, and its ZIP."""
    yard = graveyard.yard
    made: UUID = yard.desk.database.one(
        "INSERT INTO recording_exports (org_id, requested_by, reason, recordings_total, attempt)"
        " VALUES (%s, gen_random_uuid(), 'audit', 1, %s) RETURNING id",
        yard.org_id,
        attempt,
    )
    yard.desk.database.run(
        "INSERT INTO recording_downloads (org_id, call_id, requested_by, reason, kind, export_id)"
        " VALUES (%s, %s, gen_random_uuid(), 'audit', 'export', %s)",
        yard.org_id,
        call_id,
        made,
    )
    key = f"{EXPORTS}{yard.org_id}/{made}-{attempt}.zip"
    yard.store.put(key, "application/zip", payload(AUDIO))
    yard.desk.database.run(
        "UPDATE recording_exports SET status = %s, object_key = %s, sha256 = repeat('a', 64), size_bytes = 1,"
        " expires_at = now(), lease_expires_at = CASE WHEN %s = 'processing' THEN now() END WHERE id = %s",
        status,
        key if stored else None,
        status,
        made,
    )
    return made, key


def key_of(graveyard: Graveyard, export_id: UUID) -> Any:
    return graveyard.yard.desk.database.one("SELECT status, object_key FROM recording_exports WHERE id = %s", export_id)


def test_zips_that_have_the_recording_in_go_with_it_and_others_stay(graveyard: Graveyard) -> None:
    call_id, _ = graveyard.recording()
    other_id, kept = graveyard.recording()
    ready, _ = export(graveyard, call_id, "ready")
    running, _ = export(graveyard, call_id, "processing", stored=False)
    other, others = export(graveyard, other_id, "ready")
    graveyard.ask(call_id)
    graveyard.carry_out()
    assert graveyard.stored() == sorted([kept, others])
    assert key_of(graveyard, ready) == ("revoked", None)
    assert key_of(graveyard, running) == ("revoked", None)
    assert key_of(graveyard, other) == ("ready", others)


@pytest.mark.parametrize("status", ["revoked", "expired"])
def test_a_zip_that_nobody_may_fetch_any_more_goes_and_its_row_says_so(graveyard: Graveyard, status: str) -> None:
    call_id, kept = graveyard.recording()
    over, _ = export(graveyard, call_id, status)
    graveyard.carry_out()
    assert key_of(graveyard, over) == (status, None)
    assert graveyard.stored() == [kept]


def test_what_dead_attempts_at_exports_left_is_tidied_up_by_the_sweep(
    graveyard: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_id, kept = graveyard.recording()
    _, ready = export(graveyard, call_id, "ready", attempt=2)
    _, running = export(graveyard, call_id, "processing", stored=False, attempt=2)
    dead = [key.replace("-2.zip", "-1.zip") for key in (ready, running)]
    unknown = f"{EXPORTS}{graveyard.yard.org_id}/{uuid4()}-1.zip"
    for key in (*dead, unknown):
        graveyard.yard.store.put(key, "application/zip", payload(AUDIO))
    graveyard.yard.start_parts(dead[0])
    graveyard.yard.sweep()
    assert graveyard.stored() == sorted([kept, ready, running, *dead, unknown]), "they are young"
    monkeypatch.setattr("workers.zips.DEAD_AFTER", timedelta(0))
    graveyard.yard.sweep()
    assert graveyard.stored() == sorted([kept, ready, running])
    assert "Uploads" not in graveyard.yard.store.client.list_multipart_uploads(
        Bucket=graveyard.yard.store.bucket, Prefix=EXPORTS
    )

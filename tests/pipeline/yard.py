"""One organisation with recordings in a real bucket and rows in a real database, and a sweep of them."""

from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from tests.database import Database
from tests.desk import COPIED, Desk
from tests.pipeline.s3_server import payload
from workers.drain import Drain
from workers.errors import SourceGone
from workers.refused import Refusals
from workers.renditions import Original, Rendition, Renditions, rendition_key
from workers.retry import GiveUp
from workers.storage_report import Finding, is_swept, read_findings, request_sweep
from workers.store import Store
from workers.sweeper import Sweeper
from workers.territory import QUARANTINE
from workers.upkeep import Rota
from workers.uploads import Upload, object_key

AUDIO = b"RIFF" + bytes(range(256)) * 20


@dataclass
class Yard:
    desk: Desk
    store: Store
    #: Nothing here can be old; by a grace of nothing, everything is.
    grace_s: float = 0.0

    @classmethod
    def open(cls, database: Database, store: Store) -> "Yard":
        return cls(Desk.open(database), store)

    @property
    def org_id(self) -> UUID:
        return self.desk.org_id

    def sweeper(self, **changes: Any) -> Sweeper:
        made = Sweeper(
            engine=self.desk.engine,
            refusals=Refusals(self.desk.engine, "a worker of the yard"),
            store=self.store,
            drain=Drain(1.0),
            lease=timedelta(seconds=60),
            grace=timedelta(seconds=self.grace_s),
        )
        return replace(made, **changes)

    def ring(self) -> None:
        """As the operator and the dispatcher do it."""
        with self.desk.database.connect("recording_ops") as operator:
            self.asked = request_sweep(operator, self.org_id, "a test", "somebody")
        self.ring_again()

    def ring_again(self) -> None:
        with self.desk.database.connect("recording_dispatcher") as dispatcher:
            rung = Rota(every=timedelta(days=1), pace=timedelta(0)).next(dispatcher)
        assert rung == self.org_id

    def sweep(self, **changes: Any) -> list[tuple[str, str, str]]:
        """A whole sweep; what is open after it, as code, key and action."""
        self.ring()
        self.sweeper(**changes).carry_out(self.desk.grant)
        assert self.is_swept()
        return self.still_open()

    def is_swept(self) -> bool:
        with self.desk.database.connect("recording_ops") as operator:
            return is_swept(operator, self.org_id, self.asked)

    def findings(self, *, with_resolved: bool = False) -> list[Finding]:
        with self.desk.database.connect("recording_ops") as operator:
            return list(read_findings(operator, org_id=self.org_id, with_resolved=with_resolved))

    def still_open(self) -> list[tuple[str, str, str]]:
        return sorted((one.code, one.object_key, one.action) for one in self.findings())

    def put(self, key: str, data: bytes = AUDIO) -> str:
        self.store.put(key, "audio/wav", payload(data))
        return key

    def claimed(self) -> Upload:
        return self.desk.claimed()

    def complete(self, upload: Upload, data: bytes = AUDIO, extension: str = "wav") -> str:
        """Settle a claimed row as stored, whether or not it is."""
        key = object_key(upload, extension)
        copied = replace(COPIED, object_key=key, size_bytes=len(data), sha256=sha256(data).hexdigest())
        self.desk.worker().complete(self.desk.grant, upload, copied, total_ms=1)
        return key

    def recording(self, data: bytes = AUDIO) -> str:
        """A completed upload with its object."""
        upload = self.claimed()
        self.put(object_key(upload, "wav"), data)
        return self.complete(upload, data)

    def rendition(self, original: str, wanted: str, data: bytes) -> str:
        """One of a completed upload, with its object."""
        digest = sha256(data).hexdigest()
        made = Rendition(self.put(rendition_key(original, digest, wanted), data), len(data), digest)
        query = "SELECT id, object_key, size_bytes, sha256 FROM recording_upload_queue WHERE object_key = %s"
        kept = Original(*self.desk.database.one(query, original))
        Renditions(self.desk.engine, self.desk.grant).keep(kept, wanted, made)
        return made.key

    def orphan(self, data: bytes = AUDIO) -> str:
        """An object of an upload that does not exist."""
        return self.put(self.loose_key(), data)

    def loose_key(self) -> str:
        return f"{self.org_id}/2026/05/{uuid4()}/{uuid4()}.wav"

    def give_up(self, upload: Upload) -> None:
        self.desk.worker().fail(self.desk.grant, upload, SourceGone(), GiveUp(), total_ms=1)

    def start_parts(self, key: str) -> str:
        """A multipart upload that is under way."""
        created = self.store.client.create_multipart_upload(Bucket=self.store.bucket, Key=key)
        multipart_id: str = created["UploadId"]
        where = {"Bucket": self.store.bucket, "Key": key, "UploadId": multipart_id}
        self.store.client.upload_part(**where, PartNumber=1, Body=b"part")
        return multipart_id

    def parts_under_way(self) -> list[str]:
        found = self.store.client.list_multipart_uploads(Bucket=self.store.bucket, Prefix=f"{self.org_id}/")
        return [entry["Key"] for entry in found.get("Uploads", ())]

    def objects(self) -> dict[str, bytes]:
        """All that is stored for this organisation, quarantine included."""
        found = {}
        for prefix in (f"{self.org_id}/", f"{QUARANTINE}{self.org_id}/"):
            for key in self.store.list(prefix):
                found[key] = self.read(key)
        return found

    def read(self, key: str) -> bytes:
        return b"".join(self.store.get(key))

    def delete(self, key: str) -> None:
        """As somebody else, who has access to the bucket."""
        self.store.client.delete_object(Bucket=self.store.bucket, Key=key)

    def overwrite(self, key: str, data: bytes) -> None:
        """As somebody else: not create-only."""
        self.store.client.put_object(Bucket=self.store.bucket, Key=key, Body=data, ChecksumAlgorithm="SHA256")

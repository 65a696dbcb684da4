"""Doorbells that nobody should have sent: doubled, forged, expired, for another organisation, nonsense, garbage."""

import threading
import time
from collections import Counter
from random import Random
from uuid import UUID, uuid4

from celery import Celery
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from tests.faults.eyes import Eyes
from workers.doorbell import GRANT_HEADER, UPLOAD_TASK
from workers.grants import GrantKey, mint

EVERY_S = 0.4
#: Each ended a worker, or sent it round in circles, before there was a gate.
GARBAGE = ("garbage{", "[]", "{}", '{"headers": {"task": "recordings.upload"}, "properties": {}}')
#: Rung for already, or settled: a second doorbell changes nothing. (Ringing for others would be dispatching.)
_RUNG = """
SELECT id, org_id FROM recording_upload_queue
WHERE status IN ('completed', 'failed') OR status = 'processing' AND lease_expires_at > now() + interval '1 second'
ORDER BY coalesce(lease_expires_at, completed_at, created_at) DESC LIMIT 20
"""
_PENDING = "SELECT id, org_id FROM recording_upload_queue WHERE status = 'pending' ORDER BY next_attempt_at LIMIT 20"


class Intruder(threading.Thread):
    """``sent`` counts what reached the broker, by kind."""

    def __init__(self, *, seed: int, redis_url: str, database_url: str, key: GrantKey) -> None:
        super().__init__(name="intruder", daemon=True)
        self.rng, self.key, self.eyes = Random(seed), key, Eyes(database_url)
        self.sent: Counter[str] = Counter()
        self.leaving = threading.Event()
        self._redis = Redis.from_url(redis_url)
        self._app = Celery("intruder", broker=redis_url, set_as_current=False)
        self._app.config_from_object("celeryconfig")

    def run(self) -> None:
        while not self.leaving.wait(EVERY_S):
            kind = self.rng.choice(("doubled", "doubled", "forged", "expired", "crossed", "nonsense", "garbage"))
            try:
                self._intrude(kind)
            except (KombuError, RedisError, OSError):
                continue
        self.eyes.close()
        self._redis.close()
        self._app.close()

    def _intrude(self, kind: str) -> None:
        rows = self.eyes.ask(_RUNG if kind == "doubled" else _PENDING)
        if not rows:
            return
        row_id, org_id = self.rng.choice(rows)
        match kind:
            case "doubled":
                self._ring(row_id, org_id, self._grant(self.key, org_id, row_id))
            case "forged":
                self._ring(row_id, org_id, self._grant(GrantKey(self.key.kid, b"guess" * 8), org_id, row_id))
            case "expired":
                self._ring(row_id, org_id, self._grant(self.key, org_id, row_id, ago_s=7200.0))
            case "crossed":
                other = self.rng.choice(rows)[1]
                if other == org_id:
                    return
                self._ring(row_id, org_id, self._grant(self.key, other, row_id))
            case "nonsense":
                self._ring(uuid4(), org_id, "not.a.grant")
            case "garbage":
                self._redis.lpush("rec:upload", self.rng.choice(GARBAGE))
        self.sent[kind] += 1

    def _grant(self, key: GrantKey, org_id: UUID, row_id: UUID, *, ago_s: float = 0.0) -> str:
        return mint(key, org_id=org_id, subject=row_id, now_s=time.time() - ago_s, lifetime_s=600.0)

    def _ring(self, row_id: UUID, org_id: UUID, grant: str) -> None:
        kwargs = {"org_id": str(org_id), "upload_ids": [str(row_id)]}
        self._app.send_task(UPLOAD_TASK, kwargs=kwargs, headers={GRANT_HEADER: grant}, expires=60.0, retry=False)

"""What isolation costs in the database: claim and complete with row-level security and a grant that is verified, and
the very same statements as a superuser, whom no policy binds and whose grant nobody verifies."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine

from bench.cells import SMALL
from bench.ground import Ground
from bench.options import Options
from bench.peers.bare import mark_and_grant
from bench.peers.uploads import Uploads
from bench.sample import Results
from bench.stream import ratio
from bench.table import number
from schema.pooler import suited_to_poolers
from workers.queue import Queue
from workers.uploads import Copied

THREADS = 8
COUNT = 1200
_SHA256 = "ab" * 32


def claims(ground: Ground, results: Results, options: Options) -> None:
    logins = {"with": "recording_worker", "without": "postgres"}
    engines = {way: _engine(ground, login) for way, login in logins.items()}
    found: dict[str, list[float]] = {way: [] for way in engines}
    for round_number in range(options.rounds * 2):
        for way in sorted(engines, reverse=round_number % 2 == 1):
            rate = _settled_a_second(ground, engines[way], 120 if options.quick else COUNT)
            found[way].append(rate)
            options.tell(f"claim + settle     {way:14} {rate:8.0f} /s")
    for engine in engines.values():
        engine.dispose()
    results.figures["claims vs without"] = ratio(found["with"], found["without"])
    options.tell(f"claim + settle     with isolation {number(results.figures['claims vs without'].median)} ×")


def _engine(ground: Ground, login: str) -> Engine:
    url = ground.database_url(ground.database, login).replace("postgresql://", "postgresql+psycopg://", 1)
    return suited_to_poolers(create_engine(url, pool_size=THREADS))


def _settled_a_second(ground: Ground, engine: Engine, count: int) -> float:
    ground.sweep("null")
    work = mark_and_grant(ground, Uploads(ground, SMALL).enqueue_all(count))
    queue = Queue(engine, "bench", timedelta(seconds=60))

    def one(grant: str, upload_id: str) -> None:
        upload = queue.claim(grant, UUID(upload_id), uuid4())
        assert upload is not None  # noqa: S101 - it is marked, and nobody else claims
        copied = Copied(f"{upload.org_id}/{upload.id}.wav", SMALL, _SHA256, "audio/x-wav", "wav", 1, 1)
        queue.complete(grant, upload, copied, total_ms=1)

    with ThreadPoolExecutor(THREADS) as pool:
        for opened in [pool.submit(engine.connect) for _ in range(THREADS)]:
            opened.result().close()
        began = time.monotonic()
        for done in [pool.submit(one, grant, upload_id) for grant, upload_id in work]:
            done.result()
        return count / (time.monotonic() - began)

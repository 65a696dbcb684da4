"""The pool's process. For each line of work (JSON: of each a grant, its memo and proof, and an upload's id) it says
ready; told to go, it does them all and says done. It ends with its input.

python -m bench.peers.bare_pool THREADS
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from schema.grant import Grant
from workers.copy import copy
from workers.pipeline import build_uploader
from workers.settings import WorkerSettings
from workers.sources import resolve
from workers.upload import Uploader


def one(worker: Uploader, grant: str, upload_id: UUID) -> None:
    """Claim, copy, complete."""
    began = time.monotonic()
    upload = worker.queue.claim(grant, upload_id, uuid4())
    if upload is None:
        message = "nothing to claim"
        raise RuntimeError(message)
    copied = copy(
        upload,
        resolve(upload, None),
        fetcher=worker.fetcher,
        store=worker.store.within(upload.org_id),
        limits=worker.limits,
        heartbeat=lambda: None,
    )
    worker.queue.complete(grant, upload, copied, total_ms=round((time.monotonic() - began) * 1000))


def main(threads: int, say: Callable[[str], None]) -> None:
    worker = build_uploader(WorkerSettings.load(), worker="bare", slots=threads)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            work = [(Grant(*grant), UUID(upload_id)) for *grant, upload_id in json.loads(line)]
            say("ready")
            sys.stdin.readline()
            for done in [pool.submit(one, worker, grant, upload_id) for grant, upload_id in work]:
                done.result()
            say("done")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), lambda word: print(word, flush=True))
    except Exception as error:  # noqa: BLE001 - the other end reports it
        print(f"{type(error).__name__}: {error}", flush=True)

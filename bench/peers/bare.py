"""A thread pool that does the identical claim, copy and complete. The difference is what the queue costs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast
from uuid import UUID

from bench.ground import Ground
from bench.peers.peer import WARM_UP_SIZE, Cell, Measured, PeerFailedError
from bench.peers.project import SETTINGS, WARM_UP
from bench.peers.uploads import Batch, Uploads
from bench.usage import Observed
from schema.grant import Grant
from workers.embedded.children import ROOM
from workers.embedded.process import basics
from workers.grants import GrantKey, mint, vouch

_MARK = """
UPDATE public.recording_upload_queue SET dispatched_until = now() + interval '1 hour' WHERE id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Bare:
    name: str = "bare"

    @contextmanager
    def ready(self, ground: Ground, cell: Cell) -> Iterator["Pools"]:
        processes, threads = cell.slots
        environment = basics() | ground.environment("worker") | ground.s3(cell.sink) | SETTINGS
        with ExitStack() as stack:
            pools = []
            for _ in range(processes):
                pool = subprocess.Popen(
                    [sys.executable, "-m", "bench.peers.bare_pool", str(threads)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env=environment,
                    cwd=ROOM,
                )
                stack.callback(_end, pool)
                pools.append(pool)
            yield Pools(ground, cell, pools)


@dataclass(frozen=True, slots=True)
class Pools:
    ground: Ground
    cell: Cell
    pools: Sequence["subprocess.Popen[str]"]

    def warm_up(self) -> None:
        processes, threads = self.cell.slots
        self.carry_out(processes * threads + WARM_UP, WARM_UP_SIZE)

    def backlog(self, count: int) -> Measured:
        return self.carry_out(count, self.cell.size)

    def steady(self, count: int, rate: float) -> Measured:
        raise PeerFailedError(f"a pool without a queue cannot wait for {count} at {rate} a second")

    def carry_out(self, count: int, size: int) -> Measured:
        uploads = Uploads(self.ground, size)
        batch = uploads.enqueue_all(count)
        self.hand_out(batch)
        with Observed(pool.pid for pool in self.pools) as seen:
            began = time.time()
            for pool in self.pools:
                _say(pool, "go")
            for pool in self.pools:
                _hear(pool, "done")
        return Measured(max(uploads.await_all(batch).values()) - began, seen.usage)

    def hand_out(self, batch: Batch) -> None:
        work = mark_and_grant(self.ground, batch)
        for index, pool in enumerate(self.pools):
            share = [(grant, grant.memo, grant.proof, upload_id) for grant, upload_id in work[index :: len(self.pools)]]
            _say(pool, json.dumps(share))
            _hear(pool, "ready")


def mark_and_grant(ground: Ground, batch: Batch) -> list[tuple[Grant, str]]:
    """As the dispatcher would for one upload a doorbell, before the clock starts: pairs of a grant, with what comes
    along with it, and an upload's id."""
    with ground.admin() as connection:
        connection.execute(_MARK, ([upload_id for upload_id, _ in batch.rows],))
    key = GrantKey.parse(ground.stack.state.secrets["grant_key"])
    return [(_grant(key, upload_id, org_id), str(upload_id)) for upload_id, org_id in batch.rows]


def _grant(key: GrantKey, upload_id: UUID, org_id: UUID) -> Grant:
    now_s, lifetime_s = time.time(), 3600
    grant = mint(key, org_id=org_id, subject=upload_id, now_s=now_s, lifetime_s=lifetime_s)
    return Grant(grant, *vouch(key, grant, org_id=org_id, now_s=now_s, lifetime_s=lifetime_s))


def _say(pool: "subprocess.Popen[str]", line: str) -> None:
    pipe = cast("IO[Any]", pool.stdin)
    pipe.write(line + "\n")
    pipe.flush()


def _hear(pool: "subprocess.Popen[str]", word: str) -> None:
    heard = cast("IO[Any]", pool.stdout).readline().strip()
    if heard != word:
        raise PeerFailedError(f"the pool said {heard[:200]!r} instead of {word}")


def _end(pool: "subprocess.Popen[str]") -> None:
    pool.kill()
    pool.communicate()

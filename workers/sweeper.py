"""A sweep's way: one organisation's part of the bucket beside its rows, from the doorbell to the end of both.

It goes in slices, so that it holds a worker's slot for seconds at any size; each doorbell carries it on from where the
last one came to. Everything may be done twice: a sweep that was killed anywhere, and run again, ends the same.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice

import psycopg
from sqlalchemy import Engine

from workers.doorbell import SWEEP_TASK
from workers.drain import Drain
from workers.errors import AttemptError, Interrupted, LeaseLost
from workers.findings import Findings, Turn
from workers.intake import Refused
from workers.premises import Premises
from workers.refused import Refusals
from workers.remains import Remains
from workers.remedies import Remedies
from workers.stores import Storage
from workers.sweep import Kept, is_old, side_by_side
from workers.telemetry import log
from workers.zips import Zips

#: What one doorbell may take, about.
SLICE_S = 20.0
#: Objects that one sweep puts aside. More orphans than that are more likely a database that was set back.
MOST_MOVED = 100
#: Keys between two looks at the clock and the lease.
_BATCH = 500
#: Checksums looked at in each slice, at least, and of how many keys one: all of them within a hundred sweeps.
_SAMPLE, _SAMPLE_OF = 100, 100


@dataclass(frozen=True, slots=True)
class Sweeper:
    """What a worker process holds for its sweeps. Thread-safe."""

    engine: Engine
    refusals: Refusals
    store: Storage
    drain: Drain
    lease: timedelta
    grace: timedelta
    slice_s: float = SLICE_S
    most_moved: int = MOST_MOVED

    def carry_out(self, grant: str) -> None:
        """Answer a doorbell. The organisation is the one that the database reads in the grant. Raises nothing but a
        fault of our own, or of the database: whatever stops a slice, the next one goes on behind it."""
        if self.drain.begun:
            return
        findings = Findings(self.engine, grant, self.lease)
        try:
            turn = findings.claim()
            if turn is None:
                log("worker").info("doorbell_stale", task="sweep")
            else:
                _Slice(self, findings, turn).run()
        except psycopg.errors.InsufficientPrivilege:
            # At the claim, or midway, if its key was revoked then: the next doorbell carries it on.
            if self.refusals.report(Refused(task=SWEEP_TASK), grant) is None:
                raise


class _Slice:
    def __init__(self, sweeper: Sweeper, findings: Findings, turn: Turn) -> None:
        self.sweeper, self.findings, self.turn = sweeper, findings, turn
        store = sweeper.store.within(turn.org_id)
        self.premises, self.remains = Premises(store, turn.org_id), Remains(store, turn.org_id)
        self.remedies = Remedies(
            findings=findings,
            premises=self.premises,
            now=turn.now,
            grace=sweeper.grace,
            may_move=sweeper.most_moved - turn.moved,
            beat=self.beat,
        )
        self.ends_at = time.monotonic() + sweeper.slice_s
        self.kept_at = time.monotonic()
        self.compared = 0

    def run(self) -> None:
        logger = log("worker").bind(org_id=str(self.turn.org_id))
        try:
            at_the_end = self.compare()
            self.sample()
            if at_the_end:
                self.finish()
                logger.info("sweep_finished", compared=self.compared)
            else:
                self.findings.let_go(self.turn)
                logger.info("sweep_paused", compared=self.compared)
        except LeaseLost:
            logger.warning("sweep_lost", compared=self.compared)
        except (AttemptError, Interrupted) as ending:
            with suppress(LeaseLost):
                self.findings.let_go(self.turn)
            code = ending.code if isinstance(ending, AttemptError) else "interrupted"
            logger.warning("sweep_stopped", compared=self.compared, code=code)

    def compare(self) -> bool:
        """Objects beside rows, from where the last slice came to. True at the end of both."""
        after = self.turn.reached_key
        pairs = side_by_side(self.premises.objects(after), self.findings.kept(after))
        while batch := tuple(islice(pairs, _BATCH)):
            self.beat()
            self.remedies.compared(batch)
            self.compared += len(batch)
            self.keep(reached_key=batch[-1].key)
            if time.monotonic() > self.ends_at:
                return False
        return True

    def sample(self) -> None:
        """Look at the checksums of the rows behind those of the last time; after the last row, from the first again."""
        most = max(_SAMPLE, self.compared // _SAMPLE_OF)
        rows = self.findings.some_kept(self.turn.checked_key, most)
        self.check(iter(rows))
        self.keep(checked_key=rows[-1].key if len(rows) == most else "")

    def finish(self) -> None:
        """What only a whole sweep can say: which differences are still there, and which findings are not."""
        self.check(self.findings.differing(self.turn))
        grace, now = self.sweeper.grace, self.turn.now
        unfinished = (item for item in self.premises.unfinished() if is_old(item.initiated_at, now=now, grace=grace))
        while batch := tuple(islice(unfinished, _BATCH)):
            self.remedies.abort(batch)
        Zips(self.findings.engine, self.findings.grant, self.remains).tidy(self.turn.now)
        self.findings.finish(self.turn)

    def check(self, rows: Iterator[Kept]) -> None:
        for row in rows:
            self.remedies.check(row)

    def beat(self) -> None:
        """Keep the lease, well before it ends; stop if the worker is to stop."""
        if time.monotonic() - self.kept_at > self.sweeper.lease.total_seconds() / 3:
            self.keep()
        if self.sweeper.drain.begun:
            raise Interrupted

    def keep(self, **progress: str) -> None:
        self.turn = replace(self.turn, **progress)  # type: ignore[arg-type]
        self.findings.keep(self.turn)
        self.kept_at = time.monotonic()

"""One attempt at one upload, from the doorbell to the settled row: claim, copy, settle (DESIGN section 6)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg

from workers.batch import Batches, Following
from workers.circuit import Circuit
from workers.copy import Limits, copy
from workers.credentials import Credentials, SealKey, unseal
from workers.doorbell import UPLOAD_TASK
from workers.drain import Drain
from workers.errors import AttemptError, Interrupted, LeaseLost
from workers.heartbeat import Heartbeat
from workers.intake import Refused
from workers.queue import Queue
from workers.refused import Refusals
from workers.retry import Decision, RetryPolicy, decide
from workers.sources import Fetcher, resolve
from workers.stores import Storage
from workers.telemetry import Log, log
from workers.uploads import Copied, Upload

T = TypeVar("T")
#: Between two tries at a database that is away.
_PAUSE_S = 0.25
#: How long a slot keeps a doorbell while the store is away: as long as it would have lain in the broker. A worker that
#: cannot store and let them go at once would take doorbells faster than those that can.
_HELD_S = 30.0


class _GrantRefused(Exception):
    """And reported."""


@dataclass(frozen=True, slots=True)
class Uploader:
    """What a worker process holds for all its attempts. Its slots share it; all of it is thread-safe."""

    queue: Queue
    refusals: Refusals
    fetcher: Fetcher
    store: Storage
    circuit: Circuit
    limits: Limits
    policy: RetryPolicy
    seal_keys: tuple[SealKey, ...]
    drain: Drain
    rng: Random
    batches: Batches

    def answer(self, grant: str, upload_ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Answer a doorbell: carry out each of its uploads as its turn comes. Returns those that were given back,
        unclaimed, because one before them took long or the worker was told to stop."""
        return self.batches.answer(grant, upload_ids, lambda first, following: self.carry_out(grant, first, following))

    def carry_out(self, grant: str, upload_id: UUID, following: Following = lambda: None) -> bool:
        """One upload of a doorbell, and those that follow for as long as each is stored: then one transaction settles
        it and claims the next. Whatever comes of them stands in the rows, with a code; nothing is raised but a fault of
        our own, or of the database for longer than the lease (a row then waits for its lease to end). False if the
        doorbell is of no more use: its grant is refused, or nothing can be stored here."""
        if not self.circuit.admit(within_s=_HELD_S, unless=lambda: self.drain.begun):
            # Its mark on the row runs out, and it is rung again.
            log("worker").info("doorbell_let_go", upload_id=str(upload_id))
            return False
        try:
            upload = self.claim(grant, upload_id, uuid4())
        except _GrantRefused:
            self.circuit.heard(None)
            return False
        if upload is None:
            self.circuit.heard(None)
        try:
            while upload is not None:
                upload = _Attempt(self, grant, upload, following).run()
        except _GrantRefused:
            return False
        return True

    def claim(self, grant: str, upload_id: UUID, claim_id: UUID) -> Upload | None:
        """None if the doorbell is stale for this one. Raises ``_GrantRefused``, once that is reported."""
        try:
            upload = self.patiently(lambda: self.queue.claim(grant, upload_id, claim_id))
        except psycopg.errors.InsufficientPrivilege:
            if not self.is_refused(grant, upload_id):
                raise
            raise _GrantRefused from None
        if upload is None:
            log("worker").info("doorbell_stale", upload_id=str(upload_id))
        return upload

    def is_refused(self, grant: str, upload_id: UUID) -> bool:
        """Whether it is the grant that the database objects to. It is reported then."""
        return self.refusals.report(Refused(task=UPLOAD_TASK, upload_id=upload_id), grant) is not None

    def patiently(self, act: Callable[[], T]) -> T:
        """With the database away, try again for as long as a lease lasts."""
        give_up_at = time.monotonic() + self.queue.lease.total_seconds()
        while True:
            try:
                return act()
            except psycopg.OperationalError:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(_PAUSE_S)


@dataclass(frozen=True, slots=True)
class _Attempt:
    uploader: Uploader
    grant: str
    upload: Upload
    following: Following
    started: float = 0.0

    def run(self) -> Upload | None:
        """The next one, where it is claimed already. Raises ``_GrantRefused`` if the grant was on the way."""
        attempt = replace(self, started=time.monotonic())
        try:
            outcome = attempt.outcome()
            attempt.uploader.circuit.heard(outcome)
            return attempt.settle(outcome)
        except LeaseLost:
            attempt.log.warning("lease_lost")
        except psycopg.errors.InsufficientPrivilege:
            # Its key was revoked, or its time ran out, on the way. The row comes back when its lease does.
            if not attempt.uploader.is_refused(self.grant, self.upload.id):
                raise
            raise _GrantRefused from None
        return None

    @property
    def log(self) -> Log:
        return log("worker").bind(
            upload_id=str(self.upload.id), org_id=str(self.upload.org_id), attempt=self.upload.attempt
        )

    def outcome(self) -> Copied | AttemptError | Interrupted:
        """Copy, and say how it went. The lease is the only thing that can be lost on the way."""
        worker = self.uploader
        heartbeat = Heartbeat(worker.queue, self.grant, self.upload, worker.drain)
        try:
            request = resolve(self.upload, self._credentials())
            return copy(
                self.upload,
                request,
                fetcher=worker.fetcher,
                store=worker.store.within(self.upload.org_id),
                limits=worker.limits,
                heartbeat=heartbeat,
            )
        except (AttemptError, Interrupted) as ending:
            return ending

    def settle(self, outcome: Copied | AttemptError | Interrupted) -> Upload | None:
        """Write the outcome down, in one transaction, and log it once it stands. The next one, if it claimed that."""
        queue, grant, upload = self.uploader.queue, self.grant, self.upload
        elapsed_s = time.monotonic() - self.started
        total_ms = round(elapsed_s * 1000)
        if isinstance(outcome, Copied):
            return self._complete(outcome, total_ms)
        if isinstance(outcome, Interrupted):
            self.uploader.patiently(lambda: queue.put_back(grant, upload, total_ms=total_ms))
            self.log.info("upload_put_back", total_ms=total_ms)
        else:
            decision = self._decide(outcome, elapsed_s)
            self.uploader.patiently(lambda: queue.fail(grant, upload, outcome, decision, total_ms=total_ms))
            self.log.warning("upload_failed", code=outcome.code, decision=type(decision).__name__, total_ms=total_ms)
        return None

    def _complete(self, copied: Copied, total_ms: int) -> Upload | None:
        worker, queue, grant, done = self.uploader, self.uploader.queue, self.grant, self.upload
        # While the store is away none follows: whether it is back would be asked with this one not settled yet.
        then, claim_id = None if worker.circuit.paused else self.following(), uuid4()
        if then is None:
            worker.patiently(lambda: queue.complete(grant, done, copied, total_ms=total_ms))
            self._completed(copied, total_ms)
            return None
        stands, upload = worker.patiently(
            lambda: queue.complete_and_claim(grant, done, copied, total_ms=total_ms, then=then, claim_id=claim_id)
        )
        if stands:
            self._completed(copied, total_ms)
        else:
            self.log.warning("lease_lost")
        return upload or worker.claim(grant, then, claim_id)

    def _completed(self, copied: Copied, total_ms: int) -> None:
        self.log.info("upload_completed", size_bytes=copied.size_bytes, total_ms=total_ms)

    def _decide(self, error: AttemptError, elapsed_s: float) -> Decision:
        upload, worker = self.upload, self.uploader
        # The database's clock, moved on by ours: the two may differ, a stretch of time does not.
        now = upload.claimed_at + timedelta(seconds=elapsed_s)
        policy = replace(worker.policy, max_failures=upload.max_failures)
        return decide(error, upload.failures, now - (upload.tried_since or upload.created_at), now, worker.rng, policy)

    def _credentials(self) -> Credentials | None:
        upload = self.upload
        if upload.sealed_credentials is None:
            return None
        return unseal(self.uploader.seal_keys, upload.org_id, upload.provider, upload.sealed_credentials)

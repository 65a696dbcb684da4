"""What becomes of an attempt that failed: a pure decision, from the error, the row and the clock (DESIGN section 7).

Nothing here sleeps, reads a clock or writes: ``now`` and ``rng`` are arguments, and one caller writes the decision
down. Bounded on every axis: failures, age, and the single wait.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from workers.errors import STORE_FAULTS, AttemptError, NotReady, Retryable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the retries of one upload. Seconds."""

    max_failures: int = 10
    base_s: float = 2.0
    #: No single wait is longer. Ten failures under it are about half an hour: longer than most outages.
    cap_s: float = 600.0
    max_age_s: float = 86_400.0
    #: How long "not ready yet" is believed, from the row's birth or an operator's retry.
    not_ready_for_s: float = 900.0
    #: A provider that asks for more patience than this gets no more than this.
    retry_after_cap_s: float = 3_600.0


@dataclass(frozen=True, slots=True)
class Reschedule:
    """Try again then; one failure used up."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Snooze:
    """Look again then; nothing used up."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop; what happens next is for whoever the code names."""


Decision = Reschedule | Snooze | GiveUp


def backoff_s(failures: int, rng: Random, policy: RetryPolicy) -> float:
    """Full jitter under the cap: anywhere between nothing and base x 2^failures, so that a crowd spreads out."""
    ceiling = min(policy.cap_s, policy.base_s * 2 ** min(failures, 32))
    return rng.uniform(0.0, ceiling)


def _patience_s(age: timedelta, rng: Random, policy: RetryPolicy) -> float:
    """Between looks, half as long again as the row is old: soon while it is young, seldom later."""
    return rng.uniform(0.5, 1.0) * min(policy.cap_s, max(policy.base_s, age.total_seconds() / 2))


def decide(
    error: AttemptError,
    failures: int,
    age: timedelta,
    now: datetime,
    rng: Random,
    policy: RetryPolicy | None = None,
) -> Decision:
    """Decide what follows ``error``. ``failures``: used up before it; ``age``: since the row was enqueued, or
    last retried by an operator."""
    policy = policy or RetryPolicy()
    if isinstance(error, (NotReady, *STORE_FAULTS)):
        limit_s = policy.not_ready_for_s if isinstance(error, NotReady) else policy.max_age_s
        left_s = limit_s - age.total_seconds()
        # The last look is at the very end of the patience, not whenever the wait before it would have passed the end.
        return Snooze(now + timedelta(seconds=min(_patience_s(age, rng, policy), left_s))) if left_s > 0 else GiveUp()
    if not isinstance(error, Retryable) or failures + 1 >= policy.max_failures:
        return GiveUp()
    wait_s = max(backoff_s(failures, rng, policy), min(error.retry_after_s or 0.0, policy.retry_after_cap_s))
    return Reschedule(now + timedelta(seconds=wait_s)) if age.total_seconds() + wait_s < policy.max_age_s else GiveUp()

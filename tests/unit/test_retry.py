"""What becomes of an attempt that failed: bounded on every axis."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import errors
from workers.errors import AttemptError
from workers.retry import GiveUp, Reschedule, RetryPolicy, Snooze, backoff_s, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0

RETRIED: list[type[AttemptError]] = [
    errors.SourceUnreachable,
    errors.SourceTimeout,
    errors.SourceError,
    errors.SourceTruncated,
    errors.SourceThrottled,
    errors.IntegrityMismatch,
    errors.WorkerLost,
]
SNOOZED: list[type[AttemptError]] = [errors.SourceNotReady, *errors.STORE_FAULTS]
GIVEN_UP: list[type[AttemptError]] = [
    errors.SourceForbidden,
    errors.CredentialsMissing,
    errors.SourceGone,
    errors.SourceBlocked,
    errors.NotAudio,
    errors.TooLarge,
    errors.Empty,
]


def wait_s(decision: object) -> float:
    assert isinstance(decision, Reschedule | Snooze)
    return (decision.at - NOW).total_seconds()


def of(
    error: AttemptError, *, failures: int = 0, age_s: float = 0, seed: int = 1, policy: RetryPolicy | None = None
) -> object:
    return decide(error, failures, timedelta(seconds=age_s), NOW, Random(seed), policy)


def test_every_code_has_its_decision() -> None:
    decided = {error.code for error in [*RETRIED, *SNOOZED, *GIVEN_UP]}
    assert len(decided) == len(RETRIED) + len(SNOOZED) + len(GIVEN_UP) == 18


@pytest.mark.parametrize("error", RETRIED, ids=lambda error: error.code)
def test_what_may_pass_is_tried_again_until_the_failures_are_used_up(error: type[AttemptError]) -> None:
    assert isinstance(of(error()), Reschedule)
    assert isinstance(of(error(), failures=8), Reschedule)
    assert isinstance(of(error(), failures=9), GiveUp)


@pytest.mark.parametrize("error", SNOOZED, ids=lambda error: error.code)
def test_what_is_not_ours_to_hurry_is_looked_at_again_however_often(error: type[AttemptError]) -> None:
    assert isinstance(of(error(), failures=9), Snooze)


@pytest.mark.parametrize("error", GIVEN_UP, ids=lambda error: error.code)
def test_what_no_try_can_change_is_given_up_at_once(error: type[AttemptError]) -> None:
    assert isinstance(of(error()), GiveUp)


def test_not_ready_is_believed_for_its_whole_time_and_no_longer() -> None:
    assert isinstance(of(errors.SourceNotReady(), age_s=899), Snooze)
    assert isinstance(of(errors.SourceNotReady(), age_s=900), GiveUp)


@pytest.mark.parametrize("fault", errors.STORE_FAULTS, ids=lambda error: error.code)
def test_a_store_that_refuses_is_believed_in_for_as_long_as_a_recording_may_get_old(fault: type[AttemptError]) -> None:
    assert isinstance(of(fault(), age_s=DAY_S - 1), Snooze)
    assert isinstance(of(fault(), age_s=DAY_S), GiveUp)


def test_a_provider_that_asks_for_patience_gets_it_up_to_a_limit() -> None:
    for asked_s in (30.0, 3_600.0):
        assert wait_s(of(errors.SourceThrottled(retry_after_s=asked_s))) >= asked_s
    assert wait_s(of(errors.SourceThrottled(retry_after_s=1e9))) == 3_600.0


def test_nothing_is_tried_again_when_it_would_be_too_old_by_then() -> None:
    assert isinstance(of(errors.SourceThrottled(retry_after_s=3_000), age_s=DAY_S - 3_600), Reschedule)
    assert isinstance(of(errors.SourceThrottled(retry_after_s=3_000), age_s=DAY_S - 2_000), GiveUp)


def test_a_crowd_that_failed_together_does_not_come_back_together() -> None:
    waits = {wait_s(of(errors.SourceTimeout(), failures=8, seed=seed)) for seed in range(100)}
    assert len(waits) == 100
    # Full jitter at the cap too: a jitter that is added and cut off there would have them in step.
    assert min(waits) < 100
    assert 400 < max(waits) < 600


policies = st.builds(
    RetryPolicy,
    max_failures=st.integers(1, 20),
    base_s=st.floats(0.01, 60),
    cap_s=st.floats(1, 3_600),
    max_age_s=st.floats(60, 7 * DAY_S),
    not_ready_for_s=st.floats(1, DAY_S),
    retry_after_cap_s=st.floats(1, 7_200),
)
some_error = st.one_of(
    st.sampled_from([error() for error in [*RETRIED, *SNOOZED, *GIVEN_UP]]),
    st.builds(errors.SourceThrottled, retry_after_s=st.floats(0, 1e12)),
)


@given(some_error, st.integers(0, 50), st.floats(0, 8 * DAY_S), st.integers(), policies)
def test_every_wait_ends_in_time(
    error: AttemptError, failures: int, age_s: float, seed: int, policy: RetryPolicy
) -> None:
    decision = of(error, failures=failures, age_s=age_s, seed=seed, policy=policy)
    if isinstance(decision, GiveUp):
        return
    waited = wait_s(decision)
    assert 0 <= waited <= max(policy.cap_s, policy.retry_after_cap_s, policy.base_s) + 1e-6
    limit_s = policy.not_ready_for_s if isinstance(error, errors.NotReady) else policy.max_age_s
    assert age_s + waited <= limit_s + 1e-3
    if isinstance(decision, Reschedule):
        assert failures + 1 < policy.max_failures


@given(st.integers(0, 10_000), st.integers(), policies)
def test_a_backoff_stays_under_its_ceiling_however_often_it_failed(
    failures: int, seed: int, policy: RetryPolicy
) -> None:
    ceiling = min(policy.cap_s, policy.base_s * 2.0 ** min(failures, 32))
    assert 0 <= backoff_s(failures, Random(seed), policy) <= ceiling


@given(some_error, st.integers(0, 50), st.floats(0, 8 * DAY_S), st.integers(), policies)
def test_the_same_dice_give_the_same_decision(
    error: AttemptError, failures: int, age_s: float, seed: int, policy: RetryPolicy
) -> None:
    decisions = [of(error, failures=failures, age_s=age_s, seed=seed, policy=policy) for _ in range(2)]
    assert decisions[0] == decisions[1]

"""Every failure has a code, and the code says who acts next (law 8)."""

from collections.abc import Iterator

import pytest

from workers.errors import (
    AttemptError,
    Final,
    ForOperator,
    Interrupted,
    LeaseLost,
    NotReady,
    RecordingError,
    Retryable,
)

#: DESIGN section 7.
TABLE: dict[type[AttemptError], set[str]] = {
    Retryable: {
        "source_unreachable",
        "source_timeout",
        "source_error",
        "source_truncated",
        "source_throttled",
        "store_unavailable",
        "store_throttled",
        "integrity_mismatch",
        "worker_lost",
    },
    NotReady: {"source_not_ready"},
    ForOperator: {"source_forbidden", "credentials_missing", "store_denied", "object_persists"},
    Final: {"source_gone", "source_blocked", "not_audio", "too_large", "empty"},
}


def leaves(parent: type[AttemptError]) -> Iterator[type[AttemptError]]:
    for child in parent.__subclasses__():
        # An adapter may have one of its own, to tell itself apart; nobody else ever sees it.
        if child not in TABLE and not child.__name__.startswith("_"):
            yield child
        yield from leaves(child)


ALL = list(leaves(AttemptError))


@pytest.mark.parametrize("branch", TABLE, ids=lambda branch: branch.__name__)
def test_the_codes_of_a_branch_are_those_of_the_table(branch: type[AttemptError]) -> None:
    assert {error.code for error in leaves(branch)} == TABLE[branch]


def test_a_code_has_one_class_and_a_class_one_branch() -> None:
    codes = [error.code for error in ALL]
    assert len(codes) == len(set(codes)) == sum(len(of_branch) for of_branch in TABLE.values())
    assert [error for error in ALL if sum(issubclass(error, branch) for branch in TABLE) != 1] == []


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.code)
def test_an_error_explains_itself_in_a_sentence(error: type[AttemptError]) -> None:
    assert str(error()).endswith(".")
    assert "\n" not in str(error())
    assert str(error("Something else.")) == "Something else."


def test_losing_the_lease_or_shutting_down_is_no_failure() -> None:
    for ending in (LeaseLost, Interrupted):
        assert issubclass(ending, RecordingError)
        assert not issubclass(ending, AttemptError)

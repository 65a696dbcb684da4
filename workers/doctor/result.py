"""What a check says."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    #: Well for development, or a matter of taste: said, and no reason to fail.
    WARNING = "warning"
    WRONG = "wrong"
    #: It could not be looked at: the sentence says why.
    UNSEEN = "not checked"


@dataclass(frozen=True, slots=True)
class Result:
    """``check`` is ``part.question``. ``remedy`` is what to do; empty where all is well."""

    check: str
    verdict: Verdict
    sentence: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, sentence: str) -> Result:
    return Result(check, Verdict.OK, sentence)


def warning(check: str, sentence: str, remedy: str) -> Result:
    return Result(check, Verdict.WARNING, sentence, remedy)


def wrong(check: str, sentence: str, remedy: str) -> Result:
    return Result(check, Verdict.WRONG, sentence, remedy)


def unseen(check: str, why: str, remedy: str = "") -> Result:
    return Result(check, Verdict.UNSEEN, why, remedy)

"""Asking a provider whether it knows these credentials. The answer is its status; the body, which may hold more secrets
than the question did (Twilio's account page has the token), is never read."""

from dataclasses import dataclass
from enum import StrEnum

from workers.errors import AttemptError, SourceError
from workers.sources.fetcher import Fetcher
from workers.sources.request import Request

_NO_ANSWER_YET = (408, 425, 429)


class Outcome(StrEnum):
    """What became of the question."""

    OK = "ok"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is the provider's, where it came to that; ``why`` is a sentence for whoever asked."""

    outcome: Outcome
    why: str
    status: int | None = None


class _Answered(SourceError):
    """The provider did not say yes."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass(frozen=True, slots=True)
class Probe(Request):
    """A page that only its owner may see. A redirect is no answer: elsewhere, credentials are not what is asked for."""

    redirects: int = 0

    def failure(self, status: int, retry_after: str | None) -> AttemptError | None:
        del retry_after
        return None if 200 <= status < 300 else _Answered(status)


def ask(fetcher: Fetcher, probe: Probe) -> Answer:
    """One question, through the same checks of addresses and certificates as any recording."""
    try:
        fetcher.open(probe).close()
    except _Answered as answered:
        return _understood(answered.status)
    except SourceError as error:
        return Answer(Outcome.UNCLEAR, str(error))
    except AttemptError as error:
        return Answer(Outcome.UNREACHABLE, str(error))
    return Answer(Outcome.OK, "The provider knows these credentials.")


def _understood(status: int) -> Answer:
    if 400 <= status < 500 and status not in _NO_ANSWER_YET:
        return Answer(Outcome.REFUSED, "The provider refused these credentials.", status)
    return Answer(Outcome.UNCLEAR, "The provider said neither yes nor no: try again later.", status)

"""What a question to the database can come to, and when that is more than was promised."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that came back or were changed: of the organisation asked for, of the other, and of anybody else."""

    own: int = 0
    other: int = 0
    rest: int = 0

    def __str__(self) -> str:
        counted = (("own", self.own), ("other", self.other), ("anybody's", self.rest))
        return ", ".join(f"{count} {whose}" for whose, count in counted if count) or "nothing"


@dataclass(frozen=True, slots=True)
class Refused:
    """An error, by its SQLSTATE."""

    sqlstate: str

    def __str__(self) -> str:
        return f"error {self.sqlstate}"


@dataclass(frozen=True, slots=True)
class Names:
    """A set of things: grants that are held, roles that can be taken on."""

    names: frozenset[str]

    @classmethod
    def of(cls, *names: str) -> "Names":
        return cls(frozenset(names))

    def __str__(self) -> str:
        return ", ".join(sorted(self.names)) or "nothing"


Outcome = Rows | Refused | Names

NOTHING = Rows()
DENIED = Refused("42501")
NO_SUCH_PARENT = Refused("23503")
NULL = Refused("23502")
TAKEN = Refused("23505")
MALFORMED = Refused("22P02")
UNSUPPORTED = Refused("0A000")
#: A question that the server gave up (statement_timeout, lock_timeout, a deadlock): no answer at all.
UNANSWERED = {"57014", "55P03", "40P01"}


def is_leak(expected: Outcome, seen: Outcome) -> bool:
    """Whether more was reached than promised. What differs otherwise is too strict: what must work does not.

    Where a refusal is promised, rows are more, even none of them. So is a key's refusal where another one, or none, is
    promised: row-level security should have been first.
    """
    if isinstance(expected, Names) and isinstance(seen, Names):
        return bool(seen.names - expected.names)
    if isinstance(expected, Rows) and isinstance(seen, Rows):
        return seen.own > expected.own or seen.other > expected.other or seen.rest > expected.rest
    if isinstance(seen, Refused):
        return (expected == DENIED or seen.sqlstate.startswith("23")) and seen.sqlstate not in UNANSWERED
    return True

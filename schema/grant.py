"""A task grant on its way through a worker (DESIGN section 5), and what its maker says of it."""

from typing import Self


class Grant(str):
    """What it is goes to PostgreSQL, what it shows, nobody can use: Celery prints whole messages in its debug log, and
    a debugger or an error report prints variables.

    ``memo`` and ``proof`` come from whoever signed it: those that fit save PostgreSQL verifying it, those that do not
    cost what having none costs (decision 29). So nothing depends on them.
    """

    __slots__ = ("memo", "proof")
    memo: str
    proof: str

    def __new__(cls, text: str, memo: str = "", proof: str = "") -> Self:
        made = super().__new__(cls, text)
        made.memo, made.proof = memo, proof
        return made

    def __repr__(self) -> str:
        return "'[grant]'"

    def __str__(self) -> str:
        return "[grant]"

    def __format__(self, format_spec: str, /) -> str:
        return format(str(self), format_spec)

"""One way in which the schema could be weaker than it is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """``statements`` make it, as superuser. ``tables`` (or functions, schemas: whatever a cell is about) and ``roles``
    are those that it concerns most: the matrix asks about these first, and about everything only if nothing notices.
    Empty: all of them."""

    kind: str
    name: str
    statements: tuple[str, ...]
    tables: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

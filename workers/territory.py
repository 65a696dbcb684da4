"""An organisation's part of the bucket: the one place that refuses a key outside it. ``object_key`` makes them."""

from dataclasses import dataclass
from uuid import UUID

QUARANTINE = "quarantine/"
#: ZIPs that were asked for, until they have been fetched.
EXPORTS = "exports/"


class OutsideTerritory(ValueError):
    """A fault of our own, or a row that somebody has been at: nothing was asked of the store. Says no key."""

    def __init__(self) -> None:
        super().__init__("a key outside the organisation's part of the bucket")


@dataclass(frozen=True, slots=True)
class Territory:
    org_id: UUID

    @property
    def prefix(self) -> str:
        return f"{self.org_id}/"

    def holds(self, key: str) -> bool:
        """Whether the organisation may have an object here. Dots and empty names are for no store to resolve."""
        return key.startswith(self.prefix) and not {"", ".", ".."} & {*key.split("/")}

    def own(self, key: str) -> str:
        """The key, or ``OutsideTerritory``."""
        if not self.holds(key):
            raise OutsideTerritory
        return key

    def reach(self, key: str) -> str:
        """The same; what was put aside, or packed, is the organisation's as well."""
        self.own(key.removeprefix(QUARANTINE).removeprefix(EXPORTS))
        return key

    def listed(self, text: str) -> str:
        """What a listing may be asked for, or say: others may have put objects there, under any name."""
        if not text.removeprefix(QUARANTINE).removeprefix(EXPORTS).startswith(self.prefix):
            raise OutsideTerritory
        return text

"""Providers' credentials as operators handle them, as login ``recording_ops``: stored, opened, sealed again, removed.

The database sees them sealed and writes down who did what and why; here they are sealed and opened. Nothing that is
opened is returned but to whoever asked for just that.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from workers.credentials import Credentials, SealKey, seal, unseal
from workers.errors import CredentialsMissing

_LIST = """
SELECT i.org_id, o.name AS organisation, i.provider, i.key_id, i.created_at, i.updated_at
FROM public.integrations AS i JOIN public.organizations AS o ON o.id = i.org_id
WHERE %(org_id)s::uuid IS NULL OR i.org_id = %(org_id)s
ORDER BY o.name, i.org_id, i.provider
"""

_SET = "SELECT public.set_integration(%s, %s, %s, %s)"
_REMOVE = "SELECT public.remove_integration(%s, %s, %s)"
_ANNOUNCE = "SELECT public.announce_integration(%s, %s, %s)"
_ANNOUNCED = "SELECT public.announced_integration(%s, %s)"
_RESEAL = "SELECT public.reseal_integration(%s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Integration:
    """A row of ``integrations`` without its value. ``key_id`` None: nothing that this system sealed."""

    org_id: UUID
    organisation: str
    provider: str
    key_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Desk:
    """Someone at work on credentials: a connection that commits each statement, as ``recording_ops``, and who and why,
    which the audit log keeps. A mistake is psycopg's error, in plain words."""

    connection: psycopg.Connection[Any]
    reason: str
    actor: str

    def store(self, key: SealKey, org_id: UUID, provider: str, credentials: Credentials) -> str:
        """``stored``, or ``replaced`` if there were some."""
        sealed = seal(key, org_id, provider, credentials)
        return str(self._call(_SET, org_id, provider, sealed, self.reason))

    def remove(self, org_id: UUID, provider: str) -> bool:
        """False: there were none."""
        return bool(self._call(_REMOVE, org_id, provider, self.reason) == "removed")

    def opened(self, keys: Sequence[SealKey], org_id: UUID, provider: str) -> Credentials | None:
        """The credentials themselves; None: there are none. CredentialsMissing if none of the keys opens them."""
        sealed = self._sealed(org_id, provider)
        return None if sealed is None else unseal(keys, org_id, provider, sealed)

    def reseal(self, keys: Sequence[SealKey], org_id: UUID, provider: str) -> str:
        """Seal under the first of the keys what any of them opens: ``resealed``, ``changed`` by somebody else
        meanwhile (whose value stays), ``not_found``, or ``unopenable``."""
        sealed = self._sealed(org_id, provider)
        if sealed is None:
            return "not_found"
        try:
            credentials = unseal(keys, org_id, provider, sealed)
        except CredentialsMissing:
            return "unopenable"
        again = seal(keys[0], org_id, provider, credentials)
        return str(self._call(_RESEAL, org_id, provider, sealed, again, self.reason))

    def _sealed(self, org_id: UUID, provider: str) -> bytes | None:
        """In two transactions: the trace is there before the value is."""
        announcement = self._call(_ANNOUNCE, org_id, provider, self.reason)
        sealed = self._call(_ANNOUNCED, org_id, announcement)
        return None if sealed is None else bytes(sealed)

    def _call(self, statement: str, *parameters: object) -> Any:
        with self.connection.transaction():
            self.connection.execute("SELECT set_config('app.actor', %s, true)", (self.actor,))
            row = self.connection.execute(statement.encode(), parameters).fetchone()
        return row and row[0]


@dataclass(slots=True)
class Rotation:
    """Sealing everything under the first key. What is done is done, whatever happens next: beginning again goes on."""

    desk: Desk
    keys: Sequence[SealKey]
    results: Counter[str] = field(default_factory=Counter)
    #: Sealed under none of the keys, or not for the row that they are in.
    unopenable: list[Integration] = field(default_factory=list)

    def left(self) -> list[Integration]:
        """What lies under another key than the first, as the database has it now."""
        return [one for one in integrations(self.desk.connection) if one.key_id != self.keys[0].kid]

    def over(self, todo: Sequence[Integration]) -> Iterator[Integration]:
        """Each as it is done with."""
        for one in todo:
            result = self.desk.reseal(self.keys, one.org_id, one.provider)
            self.results[result] += 1
            if result == "unopenable":
                self.unopenable.append(one)
            yield one


def integrations(connection: psycopg.Connection[Any], org_id: UUID | None = None) -> list[Integration]:
    """Which credentials are stored, of one organisation or of all, by its name."""
    with connection.cursor(row_factory=class_row(Integration)) as cursor:
        return cursor.execute(_LIST, {"org_id": org_id}).fetchall()

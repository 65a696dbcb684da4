"""ZIPs of exports that are over: deleted, and what attempts that died have left of them. One organisation's only."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from schema.tenancy import run_as_task
from workers.exports import zip_prefix
from workers.remains import Place, Remains
from workers.telemetry import log
from workers.territory import EXPORTS

#: An attempt that stores nothing for so long is dead, whatever its row says: younger leftovers are let alone.
DEAD_AFTER = timedelta(hours=1)
_NAME = re.compile(r".*/(?P<export>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(?P<attempt>\d{1,9})\.zip", re.ASCII)

_OVER = """
SELECT id, object_key FROM public.recording_exports
WHERE org_id = (SELECT app.task_org_id()) AND object_key IS NOT NULL AND status IN ('failed', 'revoked', 'expired')
ORDER BY id LIMIT 100
"""
_CLEARED = """
UPDATE public.recording_exports SET object_key = NULL
WHERE id = %(id)s AND status IN ('failed', 'revoked', 'expired') RETURNING id
"""
# What is wanted yet: the ZIP that a row names, and that of an attempt under way.
_WANTED = """
SELECT id, status IN ('requested', 'processing', 'ready') AS is_live, attempt, object_key
FROM public.recording_exports WHERE org_id = (SELECT app.task_org_id()) AND id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the export stands that a ZIP is named after."""

    is_live: bool
    attempt: int
    object_key: str | None

    def has(self, key: str, attempt: int) -> bool:
        return self.object_key == key or (self.is_live and attempt >= self.attempt)


@dataclass(frozen=True, slots=True)
class Zips:
    """Those of the organisation of a grant."""

    engine: Engine
    grant: str
    remains: Remains

    def clear(self) -> None:
        """Delete those that nobody may fetch any more, and say so on their rows. Raises errors of the store; what is
        not cleared is found again."""
        for export_id, key in run_as_task(self.engine, self.grant, _OVER, {}):
            prefix = zip_prefix(self.remains.org_id, export_id)
            self.remains.erase([Place(prefix, is_prefix=True), Place(key, is_prefix=False)])
            run_as_task(self.engine, self.grant, _CLEARED, {"id": export_id})
            log("worker").info("zip_deleted", org_id=str(self.remains.org_id), export_id=str(export_id))

    def tidy(self, now: datetime) -> None:
        """Delete what attempts that died have left: whole ZIPs that no row names, and parts."""
        everything = Place(f"{EXPORTS}{self.remains.org_id}/", is_prefix=True)
        old = now - DEAD_AFTER
        versions = [one for one in self.remains.versions(everything) if one.modified_at <= old]
        unfinished = [one for one in self.remains.unfinished(everything) if one.initiated_at <= old]
        wanted = self._wanted({one.key for one in versions} | {one.key for one in unfinished})
        for version in versions:
            if is_left_over(version.key, wanted):
                self.remains.delete(version)
        for item in unfinished:
            if is_left_over(item.key, wanted):
                self.remains.abort(item)

    def _wanted(self, keys: Collection[str]) -> Mapping[UUID, Wanted]:
        ids = [UUID(match["export"]) for key in keys if (match := _NAME.fullmatch(key))]
        rows = run_as_task(self.engine, self.grant, _WANTED, {"ids": ids}) if ids else ()
        return {export_id: Wanted(*rest) for export_id, *rest in rows}


def is_left_over(key: str, wanted: Mapping[UUID, Wanted]) -> bool:
    """Whether nobody wants what has this key. What is not named as a ZIP is not ours, and let alone."""
    match = _NAME.fullmatch(key)
    if match is None:
        return False
    export = wanted.get(UUID(match["export"]))
    return export is None or not export.has(key, int(match["attempt"]))

"""What a sweep does about each difference: put an orphan aside, abort what is stale, bring back what can be proven,
report the rest. Never a deletion of bytes but of what is erased, and never anything on the strength of one look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from workers.errors import ForOperator
from workers.findings import Findings
from workers.premises import Premises
from workers.remains import Place, Remains
from workers.sweep import (
    ERASED,
    Action,
    Code,
    Fate,
    Kept,
    Listed,
    Pair,
    Unfinished,
    differs,
    is_abandoned,
    is_old,
    is_stale,
    upload_of,
)


@dataclass(slots=True)
class Remedies:
    """For one slice of one organisation's sweep. ``beat`` is called before each step that may take long."""

    findings: Findings
    premises: Premises
    now: datetime
    grace: timedelta
    #: How many more orphans may be put aside.
    may_move: int
    beat: Callable[[], None]

    def compared(self, batch: Sequence[Pair]) -> None:
        """See to whatever does not match in these pairs."""
        for pair in batch:
            for row in pair.doubtful:
                self.check(row)
        unnamed = [pair.listed for pair in batch if pair.listed and not pair.kept and self._is_old(pair.listed)]
        fates = self._fates([item.key for item in unnamed])
        for item in unnamed:
            upload_id, fate = fates[item.key]
            if upload_id is None:
                self.findings.found(Code.UNKNOWN, item.key, None, Action.REPORTED)
            elif fate is not None and fate.status == ERASED:
                self._erase_again(item.key, upload_id)
            elif is_abandoned(item.key, fate):
                self._put_aside(item.key, upload_id)

    def check(self, row: Kept) -> None:
        """Look at a completed row's own object, by its key: a listing may be older than the row."""
        self.beat()
        held = self.premises.head(row.key) if self.premises.holds(row.key) else None
        if held is None:
            action = Action.RESTORED if self._bring_back(row) else Action.REPORTED
            self.findings.found(Code.MISSING, row.key, row.upload_id, action)
        elif differs(row, size_bytes=held.size_bytes, sha256=held.sha256):
            self.findings.found(Code.DIFFERS, row.key, row.upload_id, Action.REPORTED)

    def abort(self, batch: Sequence[Unfinished]) -> None:
        """Abort those of these multipart uploads that are stale."""
        fates = self._fates([item.key for item in batch])
        for item in batch:
            self.beat()
            upload_id, fate = fates[item.key]
            if upload_id is None:
                self.findings.found(Code.UNKNOWN, item.key, None, Action.REPORTED)
            elif is_stale(fate):
                # Said first, so that nothing is done in silence; what a kill prevents, the next sweep finds again.
                self.findings.found(Code.STALE, item.key, upload_id, Action.ABORTED)
                self.premises.abort(item)

    def _erase_again(self, key: str, upload_id: UUID) -> None:
        self.beat()
        self.findings.found(Code.ORPHANED, key, upload_id, Action.ERASED)
        try:
            Remains(self.premises.store, self.premises.org_id).erase([Place(key, is_prefix=False)])
        except ForOperator:
            # Somebody has to see to it; the rest of the sweep need not wait for that.
            self.findings.found(Code.ORPHANED, key, upload_id, Action.REPORTED)

    def _put_aside(self, key: str, upload_id: UUID) -> None:
        """Move an orphan to quarantine. Its upload may come back to life meanwhile, by an operator's retry, and its new
        attempt may have come upon the object and be content with it. So the row is looked at again before the object
        goes, and once more after: then it comes back, unless there is a new one."""
        self.beat()
        held = self.premises.head(key)
        if held is None:
            return
        is_copied = self.may_move > 0 and self.premises.copy_aside(key, held)
        if not self._is_abandoned(key, upload_id):
            return
        action = Action.QUARANTINED if is_copied else Action.REPORTED
        self.findings.found(Code.ORPHANED, key, upload_id, action)
        if is_copied:
            self.premises.remove(key, held)
            self.may_move -= 1
            if not self._is_abandoned(key, upload_id):
                self.premises.put_back(key)

    def _bring_back(self, row: Kept) -> bool:
        """Out of quarantine, if exactly what the row says is there: put aside by a sweep that was killed before its
        last look, or while the database was set back to a time before the row."""
        return self.premises.holds(row.key) and self.premises.has_aside(row) and self.premises.put_back(row.key)

    def _is_abandoned(self, key: str, upload_id: UUID) -> bool:
        return is_abandoned(key, self.findings.fates([upload_id]).get(upload_id))

    def _is_old(self, item: Listed) -> bool:
        return is_old(item.modified_at, now=self.now, grace=self.grace)

    def _fates(self, keys: Sequence[str]) -> dict[str, tuple[UUID | None, Fate | None]]:
        """Of each key, the upload that it names and how that stands."""
        named = {key: upload_of(key, self.premises.org_id) for key in keys}
        fates = self.findings.fates([upload_id for upload_id in named.values() if upload_id])
        return {key: (upload_id, fates.get(upload_id) if upload_id else None) for key, upload_id in named.items()}

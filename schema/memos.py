"""What PostgreSQL said of the grants in use, said back to it: a memo that fits saves it verifying the grant again
(decision 29). One that does not fit costs what having none costs, so nothing depends on what is kept here."""

from threading import Lock

#: More than a process has slots: a doorbell has one grant. A kilobyte each.
MOST = 256

#: app.task_memo and app.task_memo_proof.
Memo = tuple[str, str]
NONE: Memo = ("", "")


class Memos:
    """Of a process, for its threads. The oldest go first."""

    def __init__(self) -> None:
        self._known: dict[str, Memo] = {}
        self._lock = Lock()

    def of(self, grant: str) -> Memo:
        return self._known.get(grant, NONE)

    def keep(self, grant: str, memo: Memo) -> None:
        with self._lock:
            self._known[grant] = memo
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]

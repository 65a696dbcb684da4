"""How long the dispatcher rests between two picks. Pure: it neither waits nor looks at a clock."""

from dataclasses import dataclass, field

#: How soon it looks again while there is work: settled uploads make room without saying so.
EAGER_S = 0.02
#: And where slots probably have doorbells ahead of them: a pick costs the same for one row and for a hundred.
BACKLOG_S = 0.08
#: Doorbells that hang, for that.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Rest:
    """First ``deaf_s``, in which what is enqueued gathers; then until a notification comes or ``listen_s`` are over."""

    deaf_s: float
    listen_s: float


@dataclass(slots=True)
class Pace:
    """``tick_s`` is the longest rest: rows become due without a word, and notifications may be lost."""

    tick_s: float
    _listen_s: float = field(default=EAGER_S, init=False)

    def stir(self) -> None:
        """Something was heard: it looks again soon, also if there is no room yet."""
        self._listen_s = EAGER_S

    def after(self, found: int, *, waiting: int) -> Rest:
        """The rest after a pick that found so many rows, with so many doorbells in the broker."""
        if not found:
            self._listen_s = min(self.tick_s, self._listen_s * 2)
            return Rest(0.0, self._listen_s)
        self._listen_s = EAGER_S
        if found == 1:
            return Rest(0.0, EAGER_S)
        return Rest(EAGER_S, BACKLOG_S if waiting >= AHEAD else 0.0)

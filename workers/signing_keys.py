"""Which key verifies a user's token: the one that the configuration names, never one that the token brings along."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

from jwt import PyJWK

from workers.jwks import ALGORITHMS, Address, UnreadableKeySet, read_key_set
from workers.telemetry import log

_SECRET_BYTES = 32
#: Younger keys are used without asking again.
_FRESH_S = 300.0
#: Older ones are not used, however long nobody answers: a key that was taken back ends here at the latest.
_USABLE_S = 3600.0
#: Between two questions, answered or not, whoever causes them.
_COOLDOWN_S = 10.0
_log = log("tokens")


class KeysUnavailable(Exception):
    """Nobody's token can be judged now: the key set cannot be read and none that is young enough is known. 503."""

    status: ClassVar[int] = 503


class SigningKeys(Protocol):
    """``algorithms`` are all that these keys verify."""

    @property
    def algorithms(self) -> tuple[str, ...]: ...

    def find(self, _kid: str | None, /) -> PyJWK | bytes | None: ...


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """One secret for whoever signs and whoever verifies: HS256."""

    secret: bytes = field(repr=False)
    algorithms: ClassVar[tuple[str, ...]] = ("HS256",)

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError says what is wrong with it and does not repeat it."""
        if "-----BEGIN" in text or text.startswith("ssh-"):
            raise ValueError("is a key of a pair, and everybody has the public one: set RECORDINGS_JWKS_URL instead")
        if len(text.encode()) < _SECRET_BYTES:
            raise ValueError(
                f"must have at least {_SECRET_BYTES} bytes, or it can be guessed from any token; make one with: "
                "openssl rand -base64 48, and give it to whoever signs the tokens too"
            )
        return cls(text.encode())

    def find(self, _kid: str | None) -> bytes:
        return self.secret


@dataclass(slots=True)
class PublishedKeys:
    """The keys of a key set, kept for a while. For any number of threads: one at a time asks, and the others go on with
    what is known if that will do."""

    read: Callable[[], Mapping[str, PyJWK]]
    clock: Callable[[], float] = time.monotonic
    algorithms: ClassVar[tuple[str, ...]] = tuple(ALGORITHMS.values())
    _known: tuple[Mapping[str, PyJWK], float] | None = None
    _asked_at: float = float("-inf")
    _asking: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def at(cls, url: str) -> Self:
        address = Address.parse(url)
        return cls(lambda: read_key_set(address))

    def find(self, kid: str | None) -> PyJWK | None:
        """The key of this id. Asks for an unknown one at most once per cooldown; raises ``KeysUnavailable``."""
        if kid is None:
            return None
        known = self._known
        if known is None or self._age_s(known) > _USABLE_S or kid not in known[0]:
            self._ask(known, wait=True)
        elif self._age_s(known) > _FRESH_S:
            self._ask(known, wait=False)
        known = self._known
        if known is None or self._age_s(known) > _USABLE_S:
            raise KeysUnavailable("the key set cannot be read")
        return known[0].get(kid)

    def _age_s(self, known: tuple[Mapping[str, PyJWK], float]) -> float:
        return self.clock() - known[1]

    def _ask(self, seen: object, *, wait: bool) -> None:
        if not self._asking.acquire(blocking=wait):
            return
        try:
            # Whoever waited here looks at what came of it.
            if self._known is not seen or self.clock() - self._asked_at < _COOLDOWN_S:
                return
            self._asked_at = self.clock()
            keys = self.read()
            self._known = keys, self.clock()
            _log.info("key_set_read", keys=len(keys))
        except UnreadableKeySet as error:
            _log.warning("key_set_unreadable", reason=str(error))
        finally:
            self._asking.release()

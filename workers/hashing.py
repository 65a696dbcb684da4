"""SHA-256 beside the copy: a large recording's takes longer than reading and sending it, and needs neither.

While one buffer is hashed it is sent and the next one is read. That uses a second processor where one is free, and
costs a few hundredths more CPU where none is: for what would hold up a slot for long.
"""

from hashlib import sha256
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, Self


class Hash(Protocol):
    """hashlib's, or ``Beside``."""

    def update(self, buffer: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class Beside:
    """In a thread of its own, for the time of a ``with``. A buffer must stay as it is until the next update returns."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._asked: SimpleQueue[memoryview | None] = SimpleQueue()
        self._done: SimpleQueue[Exception | None] = SimpleQueue()
        self._is_asked = False
        self._thread = Thread(target=self._work, name="hashing", daemon=True)

    def update(self, buffer: memoryview, /) -> None:
        """Returns at once, or when the one before is done."""
        self._wait()
        self._asked.put(buffer)
        self._is_asked = True

    def digest(self) -> bytes:
        """Of all that was given."""
        self._wait()
        return self._hash.digest()

    def _wait(self) -> None:
        if self._is_asked:
            self._is_asked = False
            if (error := self._done.get()) is not None:
                raise error

    def _work(self) -> None:
        while (buffer := self._asked.get()) is not None:
            try:
                self._hash.update(buffer)
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                self._done.put(error)
            else:
                self._done.put(None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing looks at the last buffer any more."""
        self._asked.put(None)
        self._thread.join()

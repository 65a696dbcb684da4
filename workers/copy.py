"""Source → digest → store, one pipe of constant memory. A recording is stored whole and proven, or not at all.

The first bytes are held until they prove to be audio and the length allows it; only then does anything reach the store.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, local
from time import monotonic

from workers.audio import SHORTEST, sniff
from workers.errors import Empty, NotAudio, SourceTimeout, TooLarge
from workers.hashing import Beside, Hash
from workers.payload import Payload
from workers.sources.body import Body
from workers.sources.fetcher import Fetcher
from workers.sources.request import Request
from workers.store import Store
from workers.uploads import Copied, Upload, object_key

BUFFER = 512 * 1024
LARGE = 8 * 1024 * 1024
"""From here on two buffers by turns: one is hashed while it is sent and the next one read. Of one recording at a time:
where several are copied the processors have enough to do, and each would hold a second buffer and a thread."""
HEAD = 4096
"""Bytes to see before judging, if the recording has as many: an MP3 frame and the beginning of the next."""

_own = local()
_beside = Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """``deadline_s`` bounds the whole transfer, from opening the source to the store's answer."""

    max_bytes: int
    deadline_s: float


@dataclass(slots=True)
class _Pipe:
    """The reading half: fills the slot's one buffer again and again, within the limits."""

    limits: Limits
    heartbeat: Callable[[], None]
    clock: Callable[[], float]
    started: float = field(init=False)
    fetching_s: float = 0.0
    size_bytes: int = 0

    def __post_init__(self) -> None:
        self.started = self.clock()

    def open(self, fetcher: Fetcher, request: Request) -> Body:
        before = self.clock()
        body = fetcher.open(request)
        self.fetching_s += self.clock() - before
        return body

    def read(self, body: Body, view: memoryview) -> int:
        before = self.clock()
        count = body.readinto(view)
        now = self.clock()
        self.fetching_s += now - before
        self.size_bytes += count
        if self.size_bytes > self.limits.max_bytes:
            raise TooLarge
        if now - self.started > self.limits.deadline_s:
            raise SourceTimeout("The transfer took too long.")
        self.heartbeat()
        return count

    def fill(self, body: Body, view: memoryview) -> int:
        """Enough to judge by, or all there is."""
        filled = 0
        while filled < HEAD and (count := self.read(body, view[filled:])):
            filled += count
        return filled

    def buffers(self, body: Body, view: memoryview, filled: int, spare: memoryview) -> Iterator[memoryview]:
        while filled:
            yield view[:filled]
            view, spare = spare, view
            filled = self.read(body, view)


def copy(
    upload: Upload,
    request: Request,
    *,
    fetcher: Fetcher,
    store: Store,
    limits: Limits,
    heartbeat: Callable[[], None],
    clock: Callable[[], float] = monotonic,
) -> Copied:
    """Copy the recording to its key. ``heartbeat`` is called once a buffer, and about once a second while the source is
    slow (a silent one: once a read timeout), and may raise to stop it all: nothing is stored then. Raises errors.*
    only; an equal object that is there already counts as copied."""
    pipe = _Pipe(limits, heartbeat, clock)
    with pipe.open(fetcher, request) as body:
        if (body.length or 0) > limits.max_bytes:
            raise TooLarge
        view = _buffer()
        filled = pipe.fill(body, view)
        if not filled:
            raise Empty
        kind = sniff(bytes(view[: min(filled, HEAD)]))
        if kind is None:
            raise NotAudio("Too short to be audio." if filled < SHORTEST else "")
        key = object_key(upload, kind.extension)
        with _hashing(body.length) as (hashing, spare):
            payload = Payload(pipe.buffers(body, view, filled, spare or view), length=body.length, hashing=hashing)
            store.put(key, kind.content_type, payload)
    storing_s = clock() - pipe.started - pipe.fetching_s
    return Copied(
        object_key=key,
        size_bytes=payload.size_bytes,
        sha256=payload.digest().hex(),
        content_type=kind.content_type,
        format=kind.name,
        fetch_ms=round(pipe.fetching_s * 1000),
        store_ms=round(storing_s * 1000),
    )


@contextmanager
def _hashing(length: int | None) -> Iterator[tuple[Hash | None, memoryview | None]]:
    """The hash of a recording of this length, and the second buffer, where there is to be one."""
    if length is None or length < LARGE or not _beside.acquire(blocking=False):
        yield None, None
        return
    try:
        with Beside() as beside:
            yield beside, memoryview(bytearray(BUFFER))
    finally:
        _beside.release()


def _buffer() -> memoryview:
    """The thread's own, made once: a slot copies one recording at a time."""
    view: memoryview | None = getattr(_own, "view", None)
    if view is None:
        view = _own.view = memoryview(bytearray(BUFFER))
    return view

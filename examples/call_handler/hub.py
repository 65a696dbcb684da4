"""What has changed, told to whoever looks on. One connection listens for all of them.

Requests for recordings: NOTIFY recording_downloads, with the request's id. New and retried calls: NOTIFY
recording_upload_queue. That a recording is stored is not notified, for transactions that notify commit one after the
other, and workers would wait in that line: so while calls of an organisation are on their way, and somebody of it looks
on, the hub looks too, once for all of them, less often the longer nothing happens.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy.exc import DBAPIError

from workers.telemetry import log
from workers.tokens import User

Call = Mapping[str, Any]
Event = tuple[str, Any]
Look = Callable[[User], Awaitable[Sequence[Call]]]

_CHANNELS = ("recording_downloads", "recording_upload_queue")
_ON_THE_WAY = {"pending", "processing"}
_SOONEST_S, _LATEST_S = 0.5, 10.0
_AGAIN_S = 2.0
_MOST_WAITING = 100  # events: a reader that is further behind begins anew
_MOST_REQUESTS = 10_000
_log = log("hub")


@dataclass(eq=False, slots=True)
class Watcher:
    """One open page. ``None`` in its queue: it is over."""

    user: User
    events: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(_MOST_WAITING))

    def tell(self, event: Event | None) -> None:
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            self.events.get_nowait()
            self.events.put_nowait(None)


@dataclass(slots=True)
class _Organisation:
    """What those who look on have last been told, and when to look again."""

    watchers: set[Watcher] = field(default_factory=set)
    known: dict[UUID, Call] | None = None
    due_at: float = 0.0
    pause_s: float = _SOONEST_S


class Hub:
    """``dsn`` logs in as authenticator, straight to PostgreSQL; ``look`` reads a user's newest calls. All of it in one
    event loop, but for ``asked``, which any thread may call."""

    def __init__(self, dsn: str, look: Look) -> None:
        self._dsn, self._look = dsn, look
        self._organisations: dict[UUID, _Organisation] = {}
        self._asked: OrderedDict[str, UUID] = OrderedDict()
        self._woken = asyncio.Event()

    def watch(self, user: User) -> Watcher:
        watcher = Watcher(user)
        organisation = self._organisations.setdefault(user.org_id, _Organisation())
        organisation.watchers.add(watcher)
        if organisation.known:
            watcher.tell(("calls", list(organisation.known.values())))
        organisation.due_at = 0.0
        self._woken.set()
        return watcher

    def leave(self, watcher: Watcher) -> None:
        organisation = self._organisations[watcher.user.org_id]
        organisation.watchers.discard(watcher)
        if not organisation.watchers:
            del self._organisations[watcher.user.org_id]

    def asked(self, request_id: UUID, user: User) -> None:
        """Of a request it is told to its user only. Another process's requests are not known here: their pages ask."""
        self._asked[str(request_id)] = user.user_id
        if len(self._asked) > _MOST_REQUESTS:
            self._asked.popitem(last=False)

    async def run(self) -> None:
        """Until cancelled. A database that is away is waited for, and what was missed meanwhile is looked for."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as listener:
                    for channel in _CHANNELS:
                        await listener.execute(f"LISTEN {channel}")
                    self._everything_is_due()
                    async with asyncio.TaskGroup() as both:
                        both.create_task(self._listen(listener))
                        both.create_task(self._keep_looking())
            except* (psycopg.OperationalError, DBAPIError) as away:
                _log.warning("hub_waits", error=type(away.exceptions[0]).__name__)
            await asyncio.sleep(_AGAIN_S)

    def close(self) -> None:
        for organisation in self._organisations.values():
            for watcher in organisation.watchers:
                watcher.tell(None)

    async def _listen(self, listener: psycopg.AsyncConnection[Any]) -> None:
        async for heard in listener.notifies():
            if heard.channel == "recording_downloads":
                self._tell_of_request(heard.payload)
            else:
                self._everything_is_due()
        raise psycopg.OperationalError  # the connection was closed

    def _tell_of_request(self, request_id: str) -> None:
        user_id = self._asked.get(request_id)
        for organisation in self._organisations.values():
            for watcher in organisation.watchers:
                if watcher.user.user_id == user_id:
                    watcher.tell(("request", {"id": request_id}))

    def _everything_is_due(self) -> None:
        """Whose call it is, the notification does not say."""
        for organisation in self._organisations.values():
            organisation.due_at, organisation.pause_s = 0.0, _SOONEST_S
        self._woken.set()

    async def _keep_looking(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            self._woken.clear()
            for organisation in list(self._organisations.values()):
                if organisation.watchers and organisation.due_at <= now():
                    await self._look_at(organisation, now)
            next_at = min((one.due_at for one in self._organisations.values()), default=float("inf"))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), None if next_at == float("inf") else max(next_at - now(), 0))
            # However many notifications come, an organisation is looked at twice a second at most.
            await asyncio.sleep(_SOONEST_S / 2)

    async def _look_at(self, organisation: _Organisation, now: Callable[[], float]) -> None:
        organisation.due_at = float("inf")
        watchers = set(organisation.watchers)
        calls = await self._look(next(iter(watchers)).user)
        before, after = organisation.known, {call["id"]: call for call in calls}
        changed = [call for call in calls if before is None or before.get(call["id"]) != call]
        organisation.known = after
        if changed:
            for watcher in organisation.watchers:
                watcher.tell(("calls", changed))
        organisation.pause_s = _SOONEST_S if changed else min(organisation.pause_s * 1.5, _LATEST_S)
        if any(call["recording_status"] in _ON_THE_WAY for call in calls):
            organisation.due_at = min(organisation.due_at, now() + organisation.pause_s)

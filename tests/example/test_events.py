"""What a page is told while it is open: its own organisation's calls, its own user's requests, and no sooner than they
are committed."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from queue import Empty, Queue
from socket import SHUT_RDWR
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from examples.call_handler import events as module
from examples.call_handler.hub import Call, Hub, Watcher
from tests.example.conftest import App
from tests.example.test_api import call
from workers.tokens import User


class Page:
    """One open stream, read by a thread."""

    def __init__(self, app: App, bearer: str) -> None:
        address = urlsplit(app.url)
        self.connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
        self.connection.request("GET", "/api/events", headers={"Authorization": f"Bearer {bearer}"})
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        self.heard = Queue[tuple[str, Any]]()
        self.thread = Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        event = ""
        with suppress(OSError, HTTPException):
            for line in self.answer:
                name, _, value = line.decode().strip().partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    self.heard.put((event, json.loads(value)))
        self.heard.put(("end", None))

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(SHUT_RDWR)
        self.thread.join(timeout=20)
        self.answer.close()
        self.connection.close()

    def until(self, event: str, wanted: Any) -> Any:
        """The first of this kind for which ``wanted`` is true."""
        while True:
            name, data = self.heard.get(timeout=20)
            if name == event and wanted(data):
                return data

    def has_heard_nothing(self) -> bool:
        try:
            return self.heard.get_nowait() is None
        except Empty:
            return True


@contextmanager
def page(app: App, org_id: UUID, user_id: UUID | None = None) -> Iterator[Page]:
    opened = Page(app, app.token(org_id, user_id))
    try:
        assert opened.answer.status == 200
        assert opened.answer.headers["Content-Type"].startswith("text/event-stream")
        yield opened
    finally:
        opened.close()


def status_is(call_id: str, status: str) -> Any:
    return lambda calls: any(one["id"] == call_id and one["recording_status"] == status for one in calls)


def test_a_new_call_and_what_becomes_of_it_are_told_to_its_organisation_only(app: App) -> None:
    own, other = app.database.organisation(), app.database.organisation()
    with page(app, own) as mine, page(app, own) as colleagues, page(app, other) as theirs:
        made = call(app.database, own, is_stored=False)
        for opened in (mine, colleagues):
            opened.until("calls", status_is(made, "pending"))
        app.database.run("UPDATE call_logs SET recording_status = 'failed' WHERE id = %s", made)
        for opened in (mine, colleagues):
            opened.until("calls", status_is(made, "failed"))
        assert theirs.has_heard_nothing()


def test_whoever_comes_later_is_told_what_is_known(app: App) -> None:
    own = app.database.organisation()
    made = call(app.database, own)
    for _ in range(2):
        with page(app, own) as opened:
            opened.until("calls", status_is(made, "completed"))


def test_of_a_request_its_own_user_hears_and_nobody_else(app: App) -> None:
    own, user = app.database.organisation(), uuid4()
    made = call(app.database, own)
    with page(app, own, user) as mine, page(app, own) as colleagues:
        mine.until("calls", status_is(made, "completed"))
        colleagues.until("calls", status_is(made, "completed"))
        asked = app.post(f"/api/calls/{made}/download", app.token(own, user), reason="r").json()["id"]
        assert mine.until("request", lambda data: data["id"] == asked) == {"id": asked}
        assert colleagues.has_heard_nothing()


def test_a_connection_that_is_cut_is_made_again_and_what_was_missed_is_told(app: App) -> None:
    own = app.database.organisation()
    with page(app, own) as opened:
        made = call(app.database, own, is_stored=False)
        opened.until("calls", status_is(made, "pending"))
        app.database.all(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'authenticator' AND datname = current_database()"
        )
        later = call(app.database, own, is_stored=False)
        opened.until("calls", status_is(later, "pending"))


def test_a_stream_ends_so_that_its_token_is_looked_at_again(app: App, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 0.3)
    with page(app, app.database.organisation()) as opened:
        opened.until("end", lambda _: True)


# The hub by itself: how often it asks ---------------------------------------------------------------------------------


def looked(dsn: str, watchers: int, calls: Sequence[Call], for_s: float) -> tuple[int, list[Watcher]]:
    """How often the database was asked while so many of one organisation looked on."""
    asked, open_ = 0, list[Watcher]()

    async def look(_: User) -> Sequence[Call]:
        nonlocal asked
        asked += 1
        return calls

    async def run() -> None:
        hub, org_id = Hub(dsn, look), uuid4()
        open_.extend(hub.watch(User(user_id=uuid4(), org_id=org_id)) for _ in range(watchers))
        running = asyncio.create_task(hub.run())
        await asyncio.sleep(for_s)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    return asked, open_


def test_the_database_is_not_asked_more_often_for_more_pages(app: App) -> None:
    on_the_way = [{"id": uuid4(), "recording_status": "pending"}]
    few, _ = looked(app.database.url("authenticator"), 1, on_the_way, 2.5)
    many, open_ = looked(app.database.url("authenticator"), 200, on_the_way, 2.5)
    assert 1 <= many <= few + 2 <= 9
    assert all(watcher.events.get_nowait() == ("calls", on_the_way) for watcher in open_)


def test_while_nothing_is_on_its_way_nothing_is_asked(app: App) -> None:
    asked, _ = looked(app.database.url("authenticator"), 5, [{"id": uuid4(), "recording_status": "completed"}], 2.0)
    assert asked <= 2


def test_a_page_that_does_not_read_is_let_go() -> None:
    async def run() -> list[Any]:
        watcher = Watcher(User(user_id=uuid4(), org_id=uuid4()))
        for number in range(150):
            watcher.tell(("request", {"id": str(number)}))
        return [watcher.events.get_nowait() for _ in range(watcher.events.qsize())]

    events = asyncio.run(run())
    assert len(events) == 100
    assert None in events

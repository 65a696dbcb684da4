"""``GET /api/events``: server-sent events for one user. ``calls`` (what has changed of them), ``request`` (the id of a
download or an export of theirs whose state has changed)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.encoders import jsonable_encoder
from fastapi.responses import StreamingResponse

from examples.call_handler.hub import Hub
from examples.call_handler.identity import Doorkeeper
from workers.tokens import User

_HEARTBEAT_S = 15.0
#: Then the page comes again, and its token is looked at again: one that has run out opens nothing any more.
LONGEST_S = 300.0


def router(door: Doorkeeper, hub: Hub) -> APIRouter:
    router = APIRouter(prefix="/api")

    @router.get("/events")
    async def events(user: Annotated[User, Depends(door.user)]) -> StreamingResponse:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(hub, user), media_type="text/event-stream", headers=headers)

    return router


async def _stream(hub: Hub, user: User) -> AsyncIterator[str]:
    watcher = hub.watch(user)
    try:
        yield ": welcome\n\n"
        async with asyncio.timeout(LONGEST_S):
            while True:
                try:
                    event = await asyncio.wait_for(watcher.events.get(), _HEARTBEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if event is None:
                    return
                yield f"event: {event[0]}\ndata: {json.dumps(jsonable_encoder(event[1]))}\n\n"
    except TimeoutError:
        return
    finally:
        hub.leave(watcher)

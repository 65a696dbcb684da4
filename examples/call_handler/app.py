"""The whole app: ``uvicorn --factory examples.call_handler.app:from_environment``."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy import create_engine

from examples.call_handler import calls, events, handouts, page, refusals
from examples.call_handler.hub import Call, Hub
from examples.call_handler.identity import Doorkeeper
from examples.call_handler.settings import AppSettings, libpq_url, sqlalchemy_url
from examples.call_handler.webhooks import Webhooks
from schema import roles
from schema.pooler import suited_to_poolers
from workers.settings import TokenSettings
from workers.telemetry import configure_logging
from workers.tokens import User, Verifier


def from_environment() -> FastAPI:
    """Settings are read here and nowhere else; ``SettingsError`` names all that are missing or bad."""
    configure_logging()
    settings = AppSettings.load()
    for url, login in (
        (settings.api_database_url, roles.AUTHENTICATOR),
        (settings.webhook_database_url, roles.CALL_HANDLER),
    ):
        roles.refuse_unsafe_login(libpq_url(url), wanted=login)
    return make_app(settings, Verifier.of(TokenSettings.load()))


def make_app(settings: AppSettings, verifier: Verifier) -> FastAPI:
    """Nothing connects before the first request."""
    api = suited_to_poolers(create_engine(sqlalchemy_url(settings.api_database_url), pool_pre_ping=True))
    incoming = suited_to_poolers(create_engine(sqlalchemy_url(settings.webhook_database_url), pool_pre_ping=True))
    door = Doorkeeper(verifier, api)

    async def look(user: User) -> Sequence[Call]:
        def read() -> Sequence[Call]:
            with door.acting_as(user) as connection:
                return calls.newest(connection)

        return await asyncio.to_thread(read)

    hub = Hub(libpq_url(settings.api_database_url), look)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(hub.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        api.dispose()
        incoming.dispose()

    # No generated documentation: its pages load scripts from another host.
    app = FastAPI(title="Call handler", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(page.SecureHeaders, headers=page.headers(settings.media_origin))
    refusals.install(app)
    app.include_router(Webhooks(incoming, settings).router())
    app.include_router(calls.router(door))
    app.include_router(handouts.router(door, hub.asked))
    app.include_router(events.router(door, hub))
    app.include_router(page.router())
    app.state.hub = hub
    return app

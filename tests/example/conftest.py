"""The app as it runs: uvicorn, on loopback, over a real database."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
import uvicorn

from examples.call_handler.app import make_app
from examples.call_handler.demo import token
from examples.call_handler.reporters import Reporter
from examples.call_handler.settings import AppSettings
from examples.call_handler.signatures import vapi_signature
from tests.database import Database
from tests.waiting import until
from workers.embedded import ports
from workers.settings import TokenSettings
from workers.tokens import Verifier

JWT_SECRET = "a-secret-of-forty-characters-for-tests!!"
VAPI_SECRET, TWILIO_TOKEN = "hush-vapi", "hush-twilio"


@dataclass
class App:
    """A running app, asked over HTTP."""

    url: str
    database: Database
    hub: Any
    secret: str = field(default=JWT_SECRET, repr=False)

    @property
    def reporter(self) -> Reporter:
        return Reporter(self.url, VAPI_SECRET, TWILIO_TOKEN)

    def token(self, org_id: UUID, user_id: UUID | None = None) -> str:
        return token(self.secret, org_id, user_id or uuid4())

    def get(self, path: str, bearer: str | None = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return requests.get(self.url + path, headers=headers, timeout=30, **options)

    def post(self, path: str, bearer: str, **body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer}"}
        return requests.post(self.url + path, json=body, headers=headers, timeout=30)

    def vapi(self, message: dict[str, Any], **headers: str) -> requests.Response:
        body = json.dumps({"message": {"timestamp": int(time.time() * 1000)} | message}).encode()
        signed = {"X-Vapi-Signature": vapi_signature(VAPI_SECRET, body)} | headers
        return requests.post(f"{self.url}/webhooks/vapi", data=body, headers=signed, timeout=30)


def serve(settings: dict[str, str], jwt_secret: str) -> Iterator[tuple[str, Any]]:
    """The app in a thread; its URL and its hub."""
    port = ports.pick(1)[0]
    url = f"http://127.0.0.1:{port}"
    known = {"PUBLIC_URL": url, "VAPI_WEBHOOK_SECRET": VAPI_SECRET, "TWILIO_AUTH_TOKEN": TWILIO_TOKEN}
    app = make_app(
        AppSettings.load(**(known | settings)), Verifier.of(TokenSettings.load(RECORDINGS_JWT_SECRET=jwt_secret))
    )
    options = {"access_log": False, "log_config": None, "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, **options))  # type: ignore[arg-type]
    thread = Thread(target=server.run, name="app")
    thread.start()
    try:
        until(lambda: server.started)
        yield url, app.state.hub
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def app(shared: Database) -> Iterator[App]:
    settings = {
        "API_DATABASE_URL": shared.url("authenticator"),
        "WEBHOOK_DATABASE_URL": shared.url("call_handler"),
        "MEDIA_ORIGIN": "https://store.example",
    }
    for url, hub in serve(settings, JWT_SECRET):
        yield App(url, shared, hub)

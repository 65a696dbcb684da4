"""``make example``: the app on a running stack, or on one that it starts and stops, with something to show."""

import argparse
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import uvicorn

from examples.call_handler.app import make_app
from examples.call_handler.demo import furnish, tell, token
from examples.call_handler.reporters import CLINICS, Reporter
from examples.call_handler.settings import AppSettings
from workers.cli.faults import plainly
from workers.cli.options import DEFAULT_STATE
from workers.demo.interruption import Interruption
from workers.demo.provider import Provider
from workers.embedded import detached, ports
from workers.embedded.environment import environment
from workers.embedded.state import State, load
from workers.settings import TokenSettings
from workers.telemetry import configure_logging
from workers.tokens import Verifier

_LOOPBACK = "127.0.0.0/8"
_FOREIGN = (
    "This stack was running already. The demo's provider is on loopback: unless the stack was started with "
    f"RECORDINGS_PRIVATE_SOURCE_NETWORKS={_LOOPBACK}, new recordings will fail with source_blocked."
)


class Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: "Thread") -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: object = None) -> None:  # noqa: ARG002 - uvicorn's signature
        await super().startup()
        if self.started:
            self._ready.start()


def main() -> None:
    options = _options()
    interruption = Interruption()
    with plainly(), interruption.heard(), _stack(options.state, interruption) as (state, is_ours):
        if not is_ours:
            _say(_FOREIGN)
        with suppress(KeyboardInterrupt), interruption.armed():
            _serve(state, options.port or _port())
        _say("stopping what was started …" if is_ours else "the stack keeps running: recordings down")


@contextmanager
def _stack(directory: Path, interruption: Interruption) -> Iterator[tuple[State, bool]]:
    """A running one, or one of ours, which ends with the ``with`` however that is left."""
    if load(directory).is_supervised():
        yield load(directory), False
        return
    os.environ.setdefault("RECORDINGS_PRIVATE_SOURCE_NETWORKS", _LOOPBACK)
    _say("starting a stack …")
    try:
        with interruption.armed():
            state = detached.start(directory, workers=1, concurrency=8, renditions=1, tell=lambda _: None)
        yield state, True
    finally:
        detached.stop(directory)


def _serve(state: State, port: int) -> None:
    url, roles = f"http://{ports.LOOPBACK}:{port}", {name: environment(state, name) for name in _ROLES}
    shared = {"VAPI_WEBHOOK_SECRET": secrets.token_urlsafe(32), "TWILIO_AUTH_TOKEN": secrets.token_hex(16)}
    settings = AppSettings.load(
        API_DATABASE_URL=roles["authenticator"]["DATABASE_URL"],
        WEBHOOK_DATABASE_URL=roles["call_handler"]["DATABASE_URL"],
        PUBLIC_URL=url,
        MEDIA_ORIGIN=roles["admin"]["AWS_ENDPOINT_URL_S3"],
        **shared,
    )
    furnish(roles["admin"]["DATABASE_URL"])
    secret = roles["authenticator"]["RECORDINGS_JWT_SECRET"]
    configure_logging("WARNING")
    app = make_app(settings, Verifier.of(TokenSettings.load(RECORDINGS_JWT_SECRET=secret)))
    reporter = Reporter(url, shared["VAPI_WEBHOOK_SECRET"], shared["TWILIO_AUTH_TOKEN"])
    # Its own access log would show query strings, and with them numbers.
    config = uvicorn.Config(
        app, host=ports.LOOPBACK, port=port, access_log=False, log_config=None, timeout_graceful_shutdown=1
    )
    with Provider() as provider:

        def ready() -> None:
            _introduce(url, secret)
            tell(provider, reporter)

        Server(config, Thread(target=ready, name="demo", daemon=True)).run()


_ROLES = ("admin", "authenticator", "call_handler")


def _introduce(url: str, secret: str) -> None:
    _say(f"\n  {url}\n\nSign in with one of these tokens; each is good for twelve hours:\n")
    for clinic in CLINICS:
        _say(f"  {clinic.name}\n    {token(secret, clinic.org_id, clinic.user_id)}\n")
    _say(f'  curl {url}/api/calls -H "Authorization: Bearer $YOUR_ORG_TOKEN"\n\nCtrl-C stops it.')


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _port() -> int:
    return 8000 if ports.is_free(8000) else ports.pick(1)[0]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make example", description=__doc__)
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of the stack")
    parser.add_argument("--port", type=int, default=0, help="8000, or another one if that is taken")
    return parser.parse_args()


if __name__ == "__main__":
    main()

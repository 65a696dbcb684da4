"""The gate in front of Flower: nothing is answered to a stranger, on any route, by any method.

Flower 2.2 asks for the login in each page by itself, and not in ``/metrics``, ``/healthcheck``, files, OPTIONS and
unknown paths. Here the question is asked before a route's own code is reached, so that a page that forgets it, or that
a later release brings, is closed as well. With OAuth only the way to log in is open.
"""

import hmac
from base64 import b64decode
from typing import Any
from urllib.parse import urlencode

import flower.command
from flower.app import Flower
from flower.utils.authentication import authenticate
from flower.views import BaseHandler
from flower.views.auth import LoginHandler
from tornado.web import RequestHandler, decode_signed_value, stream_request_body

#: Flower would believe a session for a month.
_SESSION_DAYS = 1


def visitor(application: Any, request: Any) -> str | None:
    """Who this is: by basic auth, or by the session of an OAuth login that may still come in. None: a stranger."""
    options = application.options
    given = _given(request.headers.get("Authorization", ""))
    known = [login.encode() for login in options.basic_auth or ()]
    if given and any(hmac.compare_digest(given, login) for login in known):
        return given.partition(b":")[0].decode(errors="replace")
    if not options.auth or "user" not in request.cookies:
        return None
    signed, secret = request.cookies["user"].value, application.settings["cookie_secret"]
    address = (decode_signed_value(secret, "user", signed, max_age_days=_SESSION_DAYS) or b"").decode()
    return address if address and authenticate(options.auth, address) else None


def _given(header: str) -> bytes:
    kind, _, encoded = header.partition(" ")
    try:
        return b64decode(encoded, validate=True) if kind.lower() == "basic" else b""
    except ValueError:
        return b""


@stream_request_body
class Refused(RequestHandler):
    """What a stranger gets. The body of a request is not waited for."""

    def prepare(self) -> None:
        options: Any = self.application.options  # type: ignore[attr-defined]
        if options.auth and self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", ""):
            self.redirect(f"{self.application.settings['login_url']}?{urlencode({'next': self.request.uri})}")
            return
        self.set_status(401)
        if options.basic_auth:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.finish("Access denied")

    def data_received(self, chunk: bytes) -> None:
        """Not read: nobody is listening."""

    def check_xsrf_cookie(self) -> None:
        """It is refused anyway, and with 401."""


class ClosedFlower(Flower):  # type: ignore[misc]
    """Every request comes through here, whatever its path."""

    def get_handler_delegate(self, request: Any, target_class: Any, *args: Any, **kwargs: Any) -> Any:
        is_login = bool(self.options.auth) and target_class is LoginHandler
        if is_login or visitor(self, request) is not None:
            return super().get_handler_delegate(request, target_class, *args, **kwargs)
        return super().get_handler_delegate(request, Refused)


def _current_user(handler: Any) -> str | None:
    return visitor(handler.application, handler.request)


_set_as_before = BaseHandler.set_secure_cookie


def _set_cookie(handler: Any, name: str, value: str, **more: Any) -> None:
    """Over TLS only, where the provider sends people back to TLS."""
    returns_to = handler.settings.get("oauth", {}).get("redirect_uri") or ""
    _set_as_before(handler, name, value, _SESSION_DAYS, secure=returns_to.startswith("https://"), **more)


def shut() -> None:
    """Have Flower, which is about to start in this process, start closed."""
    flower.command.Flower = ClosedFlower
    BaseHandler.get_current_user = _current_user
    BaseHandler.set_secure_cookie = _set_cookie

"""A JSON Web Key Set: read over HTTP within bounds, and what of it may verify a user's token.

PyJWT's own ``PyJWKClient`` (2.15.1) keeps only some of these bounds. It reads a body of any size, for as long as it
drips, and makes everybody wait meanwhile; it forgets keys that are old when nobody answers, asks again at once after a
failure, lets a body that is not JSON escape as ValueError, and takes symmetric keys, which in a published set are
secrets that everybody can read.
"""

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

#: The only kinds of key that verify, each with the one algorithm that it verifies: a token chooses neither.
ALGORITHMS: Mapping[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 64
_WITHIN_S = 5.0


class UnreadableKeySet(Exception):
    """What came back is no key set, or did not come in time. Says what, in a word, and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the key set is published."""

    url: SplitResult

    @classmethod
    def parse(cls, text: str) -> "Address":
        """ValueError says what is wrong with it: over plain HTTP anybody on the way could name keys of their own."""
        url = urlsplit(text)
        try:
            url.port  # noqa: B018 - it raises
        except ValueError:
            raise ValueError("its port is no port") from None
        if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None or not text.isascii():
            raise ValueError("must be https://host/path, without a login")
        if url.scheme == "http" and not _is_loopback(url.hostname):
            raise ValueError("must be https://, unless it is on this machine")
        return cls(url)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_key_set(address: Address, *, within_s: float = _WITHIN_S, most_bytes: int = _MOST_BYTES) -> dict[str, PyJWK]:
    """The keys that may verify, by their ids. Raises ``UnreadableKeySet``. Follows no redirect, asks no proxy."""
    try:
        with _connected(address.url, within_s) as connection:
            path = address.url.path or "/"
            connection.request("GET", f"{path}?{address.url.query}" if address.url.query else path)
            with connection.getresponse() as response:
                body = response.read(most_bytes + 1) if response.status == 200 else b""
    except (OSError, HTTPException, ValueError) as error:
        raise UnreadableKeySet(type(error).__name__) from None
    if response.status != 200:
        raise UnreadableKeySet(f"status {response.status}")
    if len(body) > most_bytes:
        raise UnreadableKeySet("too large")
    return parse_key_set(body)


@contextmanager
def _connected(url: SplitResult, within_s: float) -> Iterator[HTTPConnection]:
    """A connection that is cut when its time is up, however busily the other end drips."""
    host, secure = str(url.hostname), url.scheme == "https"
    connection = (HTTPSConnection if secure else HTTPConnection)(host, url.port, timeout=within_s)
    with socket.create_connection((connection.host, connection.port), within_s) as plain, plain.dup() as handle:
        watchdog = threading.Timer(within_s, _cut, (handle,))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
            yield connection
        finally:
            watchdog.cancel()
            watchdog.join()
            connection.close()


def _cut(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def parse_key_set(body: bytes) -> dict[str, PyJWK]:
    """The keys of a set that may verify: with an id, for signatures, of a kind that we take. Others are left out."""
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise UnreadableKeySet("no key set") from None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise UnreadableKeySet("no key set")
    found: dict[str, PyJWK] = {}
    for entry in listed:
        key = _verifying(entry) if isinstance(entry, dict) else None
        if key is not None:
            found.setdefault(str(key.key_id), key)
    return found


def _verifying(entry: dict[str, Any]) -> PyJWK | None:
    kind, kid = entry.get("kty"), entry.get("kid")
    curve = entry.get("crv")
    if not (isinstance(kind, str) and isinstance(kid, str) and kid and (curve is None or isinstance(curve, str))):
        return None
    algorithm = ALGORITHMS.get((kind, curve))
    # A private key that lies open can have been used by anybody.
    if (
        algorithm is None
        or "d" in entry
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", algorithm) != algorithm
    ):
        return None
    try:
        return PyJWK(entry, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None

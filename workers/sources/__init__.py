"""Where recordings come from: one adapter a provider, one fetcher for all of them.

A new provider is a file with a class that has ``request``, and a line in ``ADAPTERS``; one that wants credentials has
``fault`` and ``probe`` too, and its line in ``ACCOUNTS``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from workers.credentials import Credentials
from workers.sources.fetcher import Fetcher
from workers.sources.https import Https
from workers.sources.probe import Probe
from workers.sources.request import Request
from workers.sources.twilio import Twilio
from workers.sources.vapi import Vapi
from workers.uploads import Upload

__all__ = ["ACCOUNTS", "ADAPTERS", "Account", "Adapter", "Fetcher", "Https", "Request", "Twilio", "Vapi", "resolve"]


class Adapter(Protocol):
    def request(self, upload: Upload, credentials: Credentials | None) -> Request:
        """How to fetch this upload's recording. Pure: nothing is looked up or sent."""


class Account(Adapter, Protocol):
    """A provider that credentials can be stored for."""

    def fault(self, credentials: Credentials) -> str | None:
        """Why these cannot be credentials of this provider, or None. Nothing is asked."""

    def probe(self, credentials: Credentials) -> Probe:
        """What to ask to see whether the provider knows them."""


ACCOUNTS: Mapping[str, Account] = MappingProxyType({"twilio": Twilio(), "vapi": Vapi()})
ADAPTERS: Mapping[str, Adapter] = MappingProxyType({"https": Https(), **ACCOUNTS})


def resolve(upload: Upload, credentials: Credentials | None, *, adapters: Mapping[str, Adapter] = ADAPTERS) -> Request:
    """The request for this upload, by its provider; one without an adapter of its own is fetched as ``https``."""
    return adapters.get(upload.provider, Https()).request(upload, credentials)

"""Vapi: with a key, the artifact endpoint, which answers 302 to a short-lived URL in a private bucket; without one, the
public URL that the webhook carried. The stored URL expires, the endpoint does not."""

import re
from dataclasses import dataclass

from workers.credentials import Credentials
from workers.errors import CredentialsMissing, SourceForbidden, SourceNotReady
from workers.sources.probe import Probe
from workers.sources.request import Request
from workers.uploads import Upload

_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Vapi:
    api: str = "https://api.vapi.ai"
    hosts: tuple[str, ...] = ("api.vapi.ai", ".vapi.ai")

    def request(self, upload: Upload, credentials: Credentials | None) -> Request:
        # An id that is not one must not become a path of its own choosing at the provider, with our key on it.
        if credentials is None or not _ID.fullmatch(upload.provider_call_id or ""):
            return Request(upload.source_url, not_found=SourceNotReady, refused=CredentialsMissing)
        return Request(
            f"{self.api}/call/{upload.provider_call_id}/mono-recording",
            authorization=f"Bearer {credentials.secret}",
            authorization_hosts=self.hosts,
            not_found=SourceNotReady,
            refused=SourceForbidden,
        )

    def fault(self, credentials: Credentials) -> str | None:
        """What is wrong with credentials that nobody has tried yet."""
        return "Vapi has no username: its secret is the private API key" if credentials.username is not None else None

    def probe(self, credentials: Credentials) -> Probe:
        """One assistant at most: no calls, and so nothing of anybody's."""
        return Probe(
            f"{self.api}/assistant?limit=1",
            authorization=f"Bearer {credentials.secret}",
            authorization_hosts=self.hosts,
        )

"""Twilio: the media URL of a recording (``…/Recordings/RE…`` or ``….wav``), with the account's SID and token where the
account enforces authentication. The file may not exist yet when the callback arrives: 404 means not ready."""

import re
from base64 import b64encode
from dataclasses import dataclass

from workers.credentials import Credentials
from workers.errors import CredentialsMissing, SourceForbidden, SourceNotReady
from workers.sources.probe import Probe
from workers.sources.request import Request
from workers.uploads import Upload

_SID = re.compile(r"AC[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Twilio:
    api: str = "https://api.twilio.com"
    hosts: tuple[str, ...] = (".twilio.com",)

    def request(self, upload: Upload, credentials: Credentials | None) -> Request:
        if credentials is None:
            return Request(upload.source_url, not_found=SourceNotReady, refused=CredentialsMissing)
        return Request(
            upload.source_url,
            authorization=_basic(credentials),
            authorization_hosts=self.hosts,
            not_found=SourceNotReady,
            refused=SourceForbidden,
        )

    def fault(self, credentials: Credentials) -> str | None:
        """What is wrong with credentials that nobody has tried yet."""
        if not _SID.fullmatch(credentials.username or ""):
            return "Twilio's username is the account SID: AC and 32 hexadecimal digits"
        return None

    def probe(self, credentials: Credentials) -> Probe:
        """The account itself."""
        return Probe(
            f"{self.api}/2010-04-01/Accounts/{credentials.username}.json",
            authorization=_basic(credentials),
            authorization_hosts=self.hosts,
        )


def _basic(credentials: Credentials) -> str:
    return f"Basic {b64encode(f'{credentials.username or str()}:{credentials.secret}'.encode()).decode()}"

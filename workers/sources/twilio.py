"""Twilio: the media URL of a recording (``…/Recordings/RE…`` or ``….wav``), with the account's SID and token where the
account enforces authentication. The file may not exist yet when the callback arrives: 404 means not ready."""

from base64 import b64encode
from dataclasses import dataclass

from workers.credentials import Credentials
from workers.errors import CredentialsMissing, SourceForbidden, SourceNotReady
from workers.sources.request import Request
from workers.uploads import Upload


@dataclass(frozen=True, slots=True)
class Twilio:
    hosts: tuple[str, ...] = (".twilio.com",)

    def request(self, upload: Upload, credentials: Credentials | None) -> Request:
        if credentials is None:
            return Request(upload.source_url, not_found=SourceNotReady, refused=CredentialsMissing)
        pair = f"{credentials.username or ''}:{credentials.secret}".encode()
        return Request(
            upload.source_url,
            authorization=f"Basic {b64encode(pair).decode()}",
            authorization_hosts=self.hosts,
            not_found=SourceNotReady,
            refused=SourceForbidden,
        )

"""A URL taken apart, once: what is checked here is what is connected to."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from workers.errors import SourceBlocked

_PORTS = {"http": 80, "https": 443}
_SUSPICIOUS = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Origin:
    """Two URLs of one origin may share a connection, and credentials."""

    scheme: str
    host: str
    port: int

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    origin: Origin
    path: str = field(repr=False)
    url: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """SourceBlocked unless this is an http(s) URL of a plain host: no user info, no control character, no
        backslash (which some parsers take for a slash)."""
        url = url.strip()
        if _SUSPICIOUS.search(url):
            raise SourceBlocked("The recording's URL holds characters that no URL has.")
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna").decode()
            port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
        except (ValueError, UnicodeError):
            raise SourceBlocked("The recording's URL is not well formed.") from None
        if parts.scheme not in _PORTS or "@" in parts.netloc or not port or not _HOST.fullmatch(host):
            raise SourceBlocked("The recording's URL is not a plain http(s) URL.")
        query = f"?{parts.query}" if parts.query else ""
        return cls(Origin(parts.scheme, host, port), quote((parts.path or "/") + query, safe=_PRINTABLE), url)

    def redirected(self, location: str) -> Self:
        return self.parse(urljoin(self.url, location.strip()))

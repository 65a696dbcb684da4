"""Where the doorbells hang: REDIS_URL as Celery and redis-py need it said.

kombu takes ``rediss://`` without options as TLS that verifies nobody. Here it means what it does everywhere else.
"""

import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_VERIFICATION = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@dataclass(frozen=True, slots=True)
class Broker:
    """``tls`` is None where the connection is not encrypted. It stands in ``url`` as well: kombu looks there first, and
    Flower only at Celery's setting."""

    url: str = field(repr=False)
    host: str
    tls: dict[str, Any] | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read REDIS_URL: ``rediss://…?ssl_ca_certs=FILE&ssl_certfile=FILE&ssl_keyfile=FILE``. ``ValueError`` says what
        is wrong, and does not repeat it. Without ``ssl_ca_certs``: the system's authorities."""
        parts = urlsplit(text)
        if parts.scheme not in ("redis", "rediss"):
            raise ValueError("must start with redis:// or rediss://")
        query = dict(parse_qsl(parts.query))
        given = {name: value for name, value in query.items() if name.startswith("ssl_")}
        tls = _tls(given) if parts.scheme == "rediss" else None
        if tls is None and given:
            raise ValueError("has TLS options, which only rediss:// can keep")
        if tls is not None:
            query.setdefault("ssl_cert_reqs", "required")
        return cls(urlunsplit(parts._replace(query=urlencode(query, safe="/"))), parts.hostname or "localhost", tls)

    @property
    def is_verified(self) -> bool:
        """Whether nobody else can pass for the server, or listen."""
        return (
            self.tls is not None and self.tls["ssl_cert_reqs"] == ssl.CERT_REQUIRED and self.tls["ssl_check_hostname"]
        )

    @property
    def celery_settings(self) -> dict[str, Any]:
        """By the names of Celery's own settings."""
        return {"broker_url": self.url} | ({"broker_use_ssl": self.tls} if self.tls is not None else {})

    def refuse_strangers(self, plain_hosts: tuple[str, ...]) -> None:
        """Raise ``ValueError`` where passwords and grants would travel readable, or to whoever answers, unless that is
        this machine or a host that was named."""
        if self.is_verified or is_loopback(self.host) or self.host in plain_hosts:
            return
        if self.tls is not None:
            raise ValueError("does not verify the server's certificate: leave out ssl_cert_reqs and ssl_check_hostname")
        raise ValueError(
            "is not encrypted and leaves this machine: use rediss://, "
            "or name the host in RECORDINGS_PLAIN_REDIS_HOSTS if its network is yours alone"
        )


def _tls(given: dict[str, str]) -> dict[str, Any]:
    unknown = given.keys() - {*_FILES, "ssl_cert_reqs", "ssl_check_hostname"}
    if unknown:
        raise ValueError(f"has unknown TLS options: {', '.join(sorted(unknown))}")
    files = {name: given[name] for name in _FILES if name in given}
    missing = [name for name, path in files.items() if not Path(path).is_file()]
    if missing:
        raise ValueError(f"names a file that is not there: {', '.join(missing)}")
    verification = given.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if verification not in _VERIFICATION:
        raise ValueError("has an ssl_cert_reqs that is none of: required, optional, none")
    is_checked = given.get("ssl_check_hostname", "true").lower() != "false"
    return files | {"ssl_cert_reqs": _VERIFICATION[verification], "ssl_check_hostname": is_checked}


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

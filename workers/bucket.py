"""Where the bucket is, and the signed head of a request to it.

The hot path leaves boto3, whose calls cost ten times the rest of a small upload, but not its judgement: endpoint,
region and credentials are what boto3 resolved, and the signature is made by botocore's own signer.
"""

import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth

_PORTS = {"http": 80, "https": 443}


def is_amazon(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


@dataclass(frozen=True, slots=True)
class Bucket:
    """``path_prefix`` is ``/bucket`` at an endpoint of one's own, empty where the bucket is part of the host name."""

    scheme: str
    host: str
    port: int
    path_prefix: str
    region: str
    at_amazon: bool

    @classmethod
    def at(cls, endpoint_url: str, name: str, region: str) -> Self:
        parts = urlsplit(endpoint_url)
        host, amazon = parts.hostname or "", is_amazon(endpoint_url)
        # A dot in the name would not match the wildcard of Amazon's certificate.
        virtual = amazon and "." not in name
        return cls(
            scheme=parts.scheme,
            host=f"{name}.{host}" if virtual else host,
            port=parts.port or _PORTS[parts.scheme],
            path_prefix=parts.path.rstrip("/") + ("" if virtual else f"/{name}"),
            region=region,
            at_amazon=amazon,
        )

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def tls(self, ca_file: str | None) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=ca_file) if self.scheme == "https" else None

    def signed_put(self, key: str, headers: Mapping[str, str], credentials: Any) -> bytes:
        """The head of a PUT whose body is not signed but ends in a trailer with its checksum: an AWS Signature V4 over
        everything else. ``credentials`` are botocore's, frozen, so that a rotation cannot split them."""
        path = f"{self.path_prefix}/{quote(key, safe='/-_.~')}"
        url = f"{self.scheme}://{self.host_header}{path}"
        request = _Request("PUT", url, _Headers({"Host": self.host_header, **headers}))
        _Signer(credentials, "s3", self.region).add_auth(request)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return f"PUT {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


class _Headers(dict[str, str]):
    """Each name once."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]]


@dataclass(slots=True)
class _Request:
    """What the signer looks at. botocore's own request keeps its headers in a mail message, which takes longer than
    the signature."""

    method: str
    url: str
    headers: _Headers
    params: None = None
    context: dict[str, Any] = field(default_factory=lambda: {"checksum": {"request_algorithm": {"in": "trailer"}}})


class _Signer(S3SigV4Auth):  # type: ignore[misc]
    """botocore's, on such headers, none of which is of those that it leaves out."""

    def headers_to_sign(self, request: _Request) -> _Headers:
        return _Headers((name.lower(), value) for name, value in request.headers.items())

    def _sign(self, key: bytes, msg: str, hex: bool = False) -> bytes | str:  # noqa: A002
        signed = hmac.digest(key, msg.encode(), "sha256")
        return signed.hex() if hex else signed

"""Connecting to a source: the name is resolved once, every answer is checked, the connection goes to a checked address,
and the connected socket is asked where it really ended up. A name that changes its answer in between (DNS rebinding)
meets the same check twice."""

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from workers.errors import SourceBlocked, SourceUnreachable
from workers.sources.address import Address, AddressRules, parse
from workers.sources.target import Origin
from workers.wire import Wire

Resolver = Callable[[str, int], Sequence[Address]]
_TRIES = 3
"""Of a name's addresses, so many are tried. Each costs a connect timeout, and the lease is running."""


def addresses_of(host: str, port: int) -> list[Address]:
    """All that the system's resolver says, in its order. It brings its own timeout: a hazard that is only bounded by
    resolv.conf."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(parse(str(sockaddr[0])) for *_, sockaddr in found))


@dataclass(frozen=True, slots=True)
class Dialer:
    rules: AddressRules
    tls: ssl.SSLContext
    resolver: Resolver
    connect_timeout_s: float
    read_timeout_s: float

    def dial(self, origin: Origin, expires_at: float) -> Wire:
        """A connection to this origin by then, TLS included: certificate and SNI are for the name, not for the address.
        Raises SourceBlocked, SourceUnreachable."""
        sock = self._connect(origin, self._checked(origin), expires_at)
        try:
            self._check_peer(sock, origin)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "https":
                # A body that ends with the connection must end with TLS's own goodbye: a bare FIN can be forged.
                sock = self.tls.wrap_socket(sock, server_hostname=origin.host, suppress_ragged_eofs=False)
            sock.settimeout(self.read_timeout_s)
        except OSError as error:
            sock.close()
            raise SourceUnreachable("The TLS handshake with the provider failed.") from error
        except BaseException:
            sock.close()
            raise
        return Wire(sock)

    def _checked(self, origin: Origin) -> Sequence[Address]:
        try:
            addresses = self.resolver(origin.host, origin.port)
        except (OSError, UnicodeError) as error:
            raise SourceUnreachable("The provider's name does not resolve.") from error
        # One forbidden answer condemns the name: otherwise which one is used would be the attacker's to time.
        if not all(self.rules.allows(address, origin.scheme, origin.port) for address in addresses):
            raise SourceBlocked
        return addresses

    def _connect(self, origin: Origin, addresses: Sequence[Address], expires_at: float) -> socket.socket:
        failure: OSError | None = None
        for address in addresses[:_TRIES]:
            timeout_s = min(self.connect_timeout_s, expires_at - monotonic())
            if timeout_s <= 0:
                break
            try:
                return socket.create_connection((str(address), origin.port), timeout=timeout_s)
            except OSError as error:
                failure = error
        raise SourceUnreachable from failure

    def _check_peer(self, sock: socket.socket, origin: Origin) -> None:
        if not self.rules.allows(parse(sock.getpeername()[0]), origin.scheme, origin.port):
            raise SourceBlocked

"""May this address be fetched from? Pure: no name is resolved here, no socket opened.

A recording's URL comes from outside. Whoever can choose it must not be able to point a worker at the machine itself,
its network, or the cloud's metadata service. The rules are explicit networks, not ``ipaddress.is_global``, whose
answers changed between Python releases (192.0.0.0/24, 64:ff9b:1::/48, 2002::/16).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host, this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata service
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's host agent, on a public-looking address
        "169.254.0.0/16",  # link-local: the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; one cloud's metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Of IPv6 only global unicast is public. That alone refuses loopback, unspecified, IPv4-mapped, NAT64 (both prefixes),
# unique local (a cloud's metadata service), link-local and multicast.
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether anyone on the internet could be meant by this address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


@dataclass(frozen=True, slots=True)
class AddressRules:
    """The public internet over https at port 443, and whatever lies in ``networks``
    (RECORDINGS_PRIVATE_SOURCE_NETWORKS) over http and at any port as well: a provider of one's own, a test.

    Another port of a public address is no provider's, but may be a mail server's or a database's: whoever chooses the
    URL must not be able to knock there from our address.
    """

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Sequence[Network]) -> "AddressRules":
        return cls(tuple(networks))

    def allows(self, address: Address, scheme: str, port: int) -> bool:
        return self._is_listed(address) or ((scheme, port) == ("https", 443) and is_public(address))

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def parse(text: str) -> Address:
    """An address as the socket module writes it, zone and all."""
    return ip_address(text)

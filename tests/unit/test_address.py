from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.sources.address import AddressRules, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_only_this_network_knows_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not AddressRules().allows(ip_address(address), "https", 443)


@pytest.mark.parametrize("address", ["8.8.8.8", "54.172.60.0", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1"])
def test_a_public_address_is_fetched_from_over_https_at_its_own_port_only(address: str) -> None:
    rules = AddressRules()
    assert rules.allows(ip_address(address), "https", 443)
    for scheme, port in (("http", 80), ("http", 443), ("https", 80), ("https", 25), ("https", 8443), ("https", 65_535)):
        assert not rules.allows(ip_address(address), scheme, port)


def test_a_network_that_the_setting_names_is_fetched_from_over_http_too() -> None:
    rules = AddressRules.of([ip_network("127.0.0.0/8"), ip_network("fd00::/8")])
    assert rules.allows(ip_address("127.0.0.1"), "http", 80)
    assert rules.allows(ip_address("fd00::1"), "http", 80)
    assert rules.allows(ip_address("fd00::1"), "https", 8443)
    assert not rules.allows(ip_address("10.0.0.1"), "https", 443)
    assert not rules.allows(ip_address("::ffff:127.0.0.1"), "http", 80)


@given(st.ip_addresses(v=4))
def test_what_python_calls_not_global_is_never_public(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_cannot_hide_in_an_ipv6_one(address: IPv4Address) -> None:
    number = int(address)
    for disguise in (0xFFFF << 32 | number, number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert not is_public(IPv6Address(disguise))

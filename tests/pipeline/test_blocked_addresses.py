"""A URL chosen by somebody else must not reach what only this machine can reach."""

import socket
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.pipeline.certificates import certificate
from workers import errors
from workers.demo import behaviours as do
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.sources import Fetcher, Request
from workers.sources.address import Address

REC = Recording(1, 5_000)


def resolving(*answers: Sequence[str]) -> Callable[[str, int], Sequence[Address]]:
    """A resolver that gives these answers in turn, as one that rebinds does."""
    left = list(answers)
    return lambda _host, _port: [ip_address(text) for text in left.pop(0)]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_no_spelling_of_loopback_is_fetched(provider: Provider, scheme: str, host: str) -> None:
    provider.add("/a", REC)
    with pytest.raises((errors.SourceBlocked, errors.SourceUnreachable)) as caught:
        Fetcher().open(Request(f"{scheme}://{host}:{provider.port}/a"))
    assert isinstance(caught.value, errors.SourceBlocked) or host.startswith("[")
    assert not provider.log


def test_one_forbidden_answer_condemns_the_name() -> None:
    fetcher = Fetcher(resolver=resolving(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request("https://example.com/a"))


def test_plain_http_is_for_allowed_networks_only() -> None:
    fetcher = Fetcher([ip_network("10.0.0.0/8")], resolver=resolving(["8.8.8.8"]))
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request("http://example.com/a"))


@pytest.mark.parametrize("to", ["http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "file:///etc/passwd"])
def test_a_redirect_to_a_forbidden_address_is_blocked(provider: Provider, fetcher: Fetcher, to: str) -> None:
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request(provider.add("/a", b"", do.redirect(to))))


def test_every_redirect_is_resolved_and_checked_again(provider: Provider) -> None:
    url = f"http://rebinding.example:{provider.port}/a"
    provider.add("/a", b"", do.redirect(f"http://rebound.example:{provider.port}/b"))
    rebinding = resolving(["127.0.0.1"], ["127.0.0.2"])
    with Fetcher([ip_network("127.0.0.1/32")], resolver=rebinding) as fetcher, pytest.raises(errors.SourceBlocked):
        fetcher.open(Request(url))
    assert [asked.path for asked in provider.log] == ["/a"]


def test_the_connected_socket_is_asked_where_it_is(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever carried the connection elsewhere: the address at its other end decides, before a byte is sent."""
    provider.add("/a", REC)
    fetcher = Fetcher([ip_network("10.0.0.0/8")], resolver=resolving(["10.0.0.1"]))
    real = socket.create_connection
    monkeypatch.setattr(
        "workers.sources.dial.socket.create_connection",
        lambda _, timeout: real(("127.0.0.1", provider.port), timeout=timeout),
    )
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request("http://internal.example/a"))
    assert not provider.log


def test_proxies_of_the_environment_are_not_used(
    provider: Provider, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with fetcher.open(Request(provider.add("/a", REC))) as body:
        assert body.length == 5_000


def test_a_name_that_does_not_resolve_is_unreachable(fetcher: Fetcher) -> None:
    with pytest.raises(errors.SourceUnreachable):
        fetcher.open(Request("https://no-such-name.invalid/a"))


def test_a_certificate_must_be_for_the_name_in_the_url(tmp_path: Path) -> None:
    """The connection goes to an address; the certificate and SNI stay the name's."""
    server, client = certificate("provider.example", tmp_path)
    with Provider(tls=server) as provider:
        provider.add("/a", REC)

        def fetcher(tls: ssl.SSLContext | None) -> Fetcher:
            here = resolving(["127.0.0.1"])
            return Fetcher([ip_network("127.0.0.0/8")], tls=tls, resolver=here, connect_timeout_s=10.0)

        with (
            fetcher(client) as trusting,
            trusting.open(Request(f"https://provider.example:{provider.port}/a")) as body,
        ):
            assert body.readinto(memoryview(bytearray(9_000))) == 5_000
        with pytest.raises(errors.SourceUnreachable):
            fetcher(client).open(Request(f"https://other.example:{provider.port}/a"))
        with pytest.raises(errors.SourceUnreachable):
            fetcher(None).open(Request(f"https://provider.example:{provider.port}/a"))
        assert len(provider.log) == 1


def test_over_tls_a_body_must_end_with_tlss_own_goodbye(tmp_path: Path) -> None:
    server, client = certificate("provider.example", tmp_path)
    with Provider(tls=server) as provider:
        provider.add("/a", REC, do.until_close())
        fetcher = Fetcher([ip_network("127.0.0.0/8")], tls=client, resolver=resolving(["127.0.0.1"]))
        with fetcher.open(Request(f"https://provider.example:{provider.port}/a")) as body:
            assert body.readinto(memoryview(bytearray(5_000))) == 5_000
            with pytest.raises(errors.SourceTruncated):
                body.readinto(memoryview(bytearray(1)))

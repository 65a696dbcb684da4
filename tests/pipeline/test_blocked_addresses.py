"""A URL chosen by somebody else must not reach what only this machine can reach."""

import socket
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from itertools import repeat
from pathlib import Path

import pytest

from tests.pipeline.certificates import certificate
from tests.pipeline.speaker import speaking
from workers import errors
from workers.demo import behaviours as do
from workers.demo.provider import Provider
from workers.demo.recordings import Recording
from workers.sources import Fetcher, Request
from workers.sources.address import Address

REC = Recording(1, 5_000)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Reading the system's certificates takes longer than all else here."""


def resolving(*answers: Sequence[str]) -> Callable[[str, int], Sequence[Address]]:
    """A resolver that gives these answers in turn, as one that rebinds does."""
    left = list(answers)
    return lambda _host, _port: [ip_address(text) for text in left.pop(0)]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1.",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "127.0.0.1%00.example.com",
        "%31%32%37.0.0.1",
        "127\u30020\uff0e0\uff611",
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.0.0.1",
        "lo\u00adcalhost",
        "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
    ],
)
def test_no_spelling_of_loopback_is_fetched(provider: Provider, scheme: str, host: str) -> None:
    provider.add("/a", REC)
    with pytest.raises((errors.SourceBlocked, errors.SourceUnreachable)) as caught:
        Fetcher(tls=NO_TLS).open(Request(f"{scheme}://{host}:{provider.port}/a"))
    assert isinstance(caught.value, errors.SourceBlocked) or host in {"127.0.0.1.", "localhost."}
    assert not provider.log


@pytest.mark.parametrize(
    "answer",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1%2",
        "fec0::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2001:db8::1",
        "100::1",
        "2002:a00:1::",
        "2001:0:a00:1::",
        "3fff::1",
    ],
)
@pytest.mark.parametrize("beside", [(), ("8.8.8.8", "2606:4700::1")])
def test_a_name_that_leads_inside_is_blocked_whatever_else_it_leads_to(answer: str, beside: tuple[str, ...]) -> None:
    for answers in ([*beside, answer], [answer, *beside]):
        with pytest.raises(errors.SourceBlocked):
            Fetcher(tls=NO_TLS, resolver=resolving(answers)).open(Request("https://example.com/a"))


@pytest.mark.parametrize("port", [1, 22, 25, 80, 6379, 8443, 65_535])
def test_a_public_address_is_asked_at_port_443_only(port: int) -> None:
    """Or whoever chooses URLs could have our workers knock at anybody's mail server or database."""
    with pytest.raises(errors.SourceBlocked):
        Fetcher(tls=NO_TLS, resolver=resolving(["8.8.8.8"])).open(Request(f"https://example.com:{port}/a"))


def test_one_forbidden_answer_condemns_the_name() -> None:
    fetcher = Fetcher(resolver=resolving(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request("https://example.com/a"))


def test_plain_http_is_for_allowed_networks_only() -> None:
    fetcher = Fetcher([ip_network("10.0.0.0/8")], resolver=resolving(["8.8.8.8"]))
    with pytest.raises(errors.SourceBlocked):
        fetcher.open(Request("http://example.com/a"))


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "//10.0.0.1/",
        "http://8.8.8.8/",
        "https://8.8.8.8:22/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://127.0.0.1/",
        "data:audio/wav;base64,UklGRg==",
        "javascript:alert(1)",
        "https://user:pass@127.0.0.1/",
        "http://127.0.0.1\\@10.0.0.1/",
        "http://10.0.0.1/a b",
    ],
)
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


@pytest.mark.parametrize("wrong", ["expired", "not yet valid", "no TLS at all", "untrusted"])
def test_a_server_that_cannot_prove_who_it_is_is_not_asked(tmp_path: Path, wrong: str) -> None:
    days = {"expired": (-9, -1), "not yet valid": (1, 9)}.get(wrong, (-1, 1))
    server, client = certificate("provider.example", tmp_path, days=days)
    with Provider(tls=None if wrong == "no TLS at all" else server) as provider:
        provider.add("/a", REC)
        trusted = ssl.create_default_context() if wrong == "untrusted" else client
        here = resolving(["127.0.0.1"])
        with Fetcher([ip_network("127.0.0.0/8")], tls=trusted, resolver=here, connect_timeout_s=10.0) as fetcher:
            with pytest.raises(errors.SourceUnreachable):
                fetcher.open(Request(f"https://provider.example:{provider.port}/a"))
        assert not provider.log


@pytest.mark.parametrize("where", ["another port", "another scheme", "another name"])
def test_credentials_stay_behind_when_a_redirect_leads_elsewhere(tmp_path: Path, where: str) -> None:
    server, client = certificate("provider.example", tmp_path)
    with Provider(tls=server) as first, Provider(tls=None if where == "another scheme" else server) as second:
        second.add("/b", REC)
        scheme = "http" if where == "another scheme" else "https"
        name = "sub.provider.example" if where == "another name" else "provider.example"
        first.add("/a", b"", do.redirect(f"{scheme}://{name}:{second.port}/b"))
        client.check_hostname = False
        here = resolving(["127.0.0.1"], ["127.0.0.1"])
        hosts = ("provider.example", ".provider.example")
        request = Request(f"https://provider.example:{first.port}/a", "Bearer key", hosts)
        with Fetcher([ip_network("127.0.0.0/8")], tls=client, resolver=here, connect_timeout_s=10.0) as fetcher:
            fetcher.open(request).close()
        assert first.log[0].headers["authorization"] == "Bearer key"
        assert "authorization" not in second.log[0].headers


def test_a_folded_header_is_no_way_into_the_next_question(fetcher: Fetcher) -> None:
    folded = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n X: y\r\nContent-Length: 0\r\n\r\n"
    with speaking(folded) as speaker, pytest.raises(errors.SourceBlocked):
        fetcher.open(Request(speaker.url))


def test_a_handshake_that_drips_is_not_waited_for() -> None:
    with speaking(lambda: repeat(b"\x16"), pause_s=0.05) as speaker:
        impatient = Fetcher([ip_network("127.0.0.0/8")], tls=NO_TLS, connect_timeout_s=0.3, read_timeout_s=0.5)
        with pytest.raises(errors.SourceUnreachable):
            impatient.open(Request(f"https://127.0.0.1:{speaker.port}/a"))

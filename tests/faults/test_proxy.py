"""The proxy that breaks things, itself: a fault that does not happen proves nothing."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.proxy import FaultProxy
from tests.waiting import until
from workers.demo.provider import Provider
from workers.demo.recordings import Recording


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        running.add("/a.wav", Recording(seed=1, size=300_000))
        yield running


@pytest.fixture
def proxy(provider: Provider) -> Iterator[FaultProxy]:
    with FaultProxy(provider.port) as running:
        yield running


def ask(proxy: FaultProxy, *, timeout_s: float = 5.0) -> bytes:
    """Everything that the other end says before it closes; what came before a reset counts."""
    heard = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s) as connection:
        connection.sendall(b"GET /a.wav HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while data := connection.recv(65_536):
            heard += data
    return heard


def test_it_relays_whole(proxy: FaultProxy) -> None:
    head, _, body = ask(proxy).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == Recording(seed=1, size=300_000).bytes()


def test_it_refuses_as_s3_does_and_nothing_reaches_the_server(proxy: FaultProxy, provider: Provider) -> None:
    proxy.refuse(503, "SlowDown")
    heard = ask(proxy)
    assert heard.startswith(b"HTTP/1.1 503")
    assert b"<Code>SlowDown</Code>" in heard
    assert provider.log == []
    proxy.heal()
    assert ask(proxy).startswith(b"HTTP/1.1 200")


def test_it_cuts_open_and_new_connections(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as held:
        until(lambda: proxy.accepted == 1)
        proxy.cut()
        with pytest.raises(OSError):
            assert held.recv(1) == b"", "closed"
            raise ConnectionResetError
    assert ask(proxy) == b""


def test_a_stalled_answer_arrives_after_it_heals(proxy: FaultProxy) -> None:
    proxy.stall()
    assert ask(proxy, timeout_s=0.3) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as patient:
        patient.sendall(b"GET /a.wav HTTP/1.1\r\nHost: x\r\n\r\n")
        proxy.heal()
        assert patient.recv(12) == b"HTTP/1.1 200"


def test_it_cuts_after_so_many_bytes_sent(proxy: FaultProxy, provider: Provider) -> None:
    proxy.cut_after(10)
    assert ask(proxy) == b""
    assert provider.log == []


def test_it_loses_one_request(proxy: FaultProxy, provider: Provider) -> None:
    proxy.lose_request(b"GET /a.wav")
    assert ask(proxy) == b""
    assert proxy.has_lost
    assert provider.log == []
    assert ask(proxy).startswith(b"HTTP/1.1 200")


def test_it_loses_one_answer_to_a_request_that_was_heard(proxy: FaultProxy, provider: Provider) -> None:
    proxy.lose_answer(b"GET /a.wav", b"200")
    assert ask(proxy) == b""
    assert proxy.has_lost
    assert len(provider.log) == 1
    assert ask(proxy).startswith(b"HTTP/1.1 200")

"""Reading a recording from a provider that may be slow, broken, or sly."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from tests.waiting import until
from workers import errors
from workers.credentials import Credentials
from workers.demo import behaviours as do
from workers.demo.provider import Provider
from workers.demo.recordings import Recording, wav
from workers.sources import Fetcher, Request, Twilio, Vapi, resolve
from workers.sources.body import RESUMPTIONS
from workers.uploads import Upload

SIZE = 300_000
REC = Recording(seed=1, size=SIZE)
WAV = wav(1, SIZE)


def fetch(fetcher: Fetcher, request: Request | str, *, step: int = 65_536) -> bytes:
    buffer, data = memoryview(bytearray(step)), b""
    with fetcher.open(Request(request) if isinstance(request, str) else request) as body:
        while count := body.readinto(buffer):
            data += buffer[:count]
    return data


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that says exactly this, one answer a connection, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        thread.join()


def test_a_recording_arrives_whole_with_its_length_known(provider: Provider, fetcher: Fetcher) -> None:
    url = provider.add("/a.wav", REC)
    with fetcher.open(Request(url)) as body:
        assert body.length == SIZE
    assert fetch(fetcher, url) == WAV


def test_nothing_is_decoded_and_nothing_is_said_beyond_the_need(provider: Provider, fetcher: Fetcher) -> None:
    fetch(fetcher, provider.add("/a.wav?token=x%2Fy", REC))
    assert provider.log[0].path == "/a.wav?token=x%2Fy"
    assert provider.log[0].headers == {
        "host": f"127.0.0.1:{provider.port}",
        "user-agent": "recording-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_connections_are_kept_alive(provider: Provider, fetcher: Fetcher) -> None:
    url = provider.add("/a.wav", REC)
    provider.add("/chunked.wav", REC, do.no_length())
    for _ in range(3):
        assert fetch(fetcher, url) == WAV
        assert fetch(fetcher, provider.url + "/chunked.wav") == WAV
        with pytest.raises(errors.SourceGone):
            fetch(fetcher, provider.url + "/none.wav")
    assert len({asked.connection for asked in provider.log}) == 1


def test_a_kept_connection_that_the_provider_closed_is_replaced(fetcher: Fetcher) -> None:
    with Provider() as first:
        url = first.add("/a.wav", REC)
        assert fetch(fetcher, url) == WAV
    with Provider(port=first.port) as second:
        second.add("/a.wav", REC)
        assert fetch(fetcher, url) == WAV


@pytest.mark.parametrize("behaviour", [do.no_length, do.until_close])
def test_a_recording_of_unknown_length_arrives_whole(
    provider: Provider, fetcher: Fetcher, behaviour: Callable[[], do.Behaviour]
) -> None:
    url = provider.add("/a.wav", REC, behaviour())
    with fetcher.open(Request(url)) as body:
        assert body.length is None
    assert fetch(fetcher, url) == WAV


@pytest.mark.parametrize("framing", [(), (do.no_length(),)])
@pytest.mark.parametrize("at", [0, 1, 43_000, SIZE - 1])
def test_a_body_that_ends_early_is_truncated_not_short(
    provider: Provider, fetcher: Fetcher, framing: tuple[do.Behaviour, ...], at: int
) -> None:
    with pytest.raises(errors.SourceTruncated):
        fetch(fetcher, provider.add("/a.wav", REC, *framing, do.cut(at)))


@pytest.mark.parametrize("proof", [{"etag": '"v1"'}, {"etag": None, "last_modified": "Mon, 23 Nov 2026 00:00:00 GMT"}])
def test_a_broken_read_goes_on_where_it_broke(provider: Provider, fetcher: Fetcher, proof: dict[str, str]) -> None:
    url = provider.add("/a.wav", REC, do.ranged(**proof), do.cut(100_000, times=1))
    assert fetch(fetcher, url) == WAV
    again = provider.log[1]
    assert again.headers["range"] == "bytes=100000-"
    assert again.headers["if-range"] in proof.values()
    until(lambda: again.sent_bytes == SIZE - 100_000)  # the provider counts after it has sent


def test_a_read_is_resumed_a_few_times_at_most(provider: Provider, fetcher: Fetcher) -> None:
    cuts = [do.cut(at, times) for times, at in ((5, 250_000), (4, 200_000), (3, 150_000), (2, 100_000), (1, 50_000))]
    url = provider.add("/a.wav", REC, do.ranged(), *cuts)
    with pytest.raises(errors.SourceTruncated):
        fetch(fetcher, url)
    assert len(provider.log) == 1 + RESUMPTIONS


def test_a_resumption_that_brings_nothing_is_the_end(provider: Provider, fetcher: Fetcher) -> None:
    with pytest.raises(errors.SourceTruncated):
        fetch(fetcher, provider.add("/a.wav", REC, do.ranged(), do.cut(50_000)))
    assert len(provider.log) == 2


@pytest.mark.parametrize(
    "proof",
    [
        do.ranged('W/"weak"'),
        do.ranged(None),
        do.header("Accept-Ranges", "none"),
        do.header("ETag", '"v1"'),
    ],
)
def test_a_source_that_cannot_prove_it_is_the_same_file_is_not_resumed(
    provider: Provider, fetcher: Fetcher, proof: do.Behaviour
) -> None:
    with pytest.raises(errors.SourceTruncated):
        fetch(fetcher, provider.add("/a.wav", REC, proof, do.cut(50_000)))
    assert len(provider.log) == 1


@pytest.mark.parametrize(
    "changed",
    [
        do.header("Content-Range", f"bytes 50001-{SIZE - 1}/{SIZE}"),
        do.header("Content-Range", f"bytes 50000-{SIZE - 1}/{SIZE + 1}"),
        do.header("Content-Range", "bytes */5"),
        do.status(200),
        do.status(403),
        do.status(503),
    ],
)
def test_another_file_is_not_taken_for_the_rest(provider: Provider, fetcher: Fetcher, changed: do.Behaviour) -> None:
    def second_time(headers: do.Headers, answer: do.Answer) -> None:
        if "range" in headers:
            changed(headers, answer)

    with pytest.raises(errors.SourceTruncated):
        fetch(fetcher, provider.add("/a.wav", REC, do.ranged(), do.cut(50_000, 1), second_time))


def test_a_silent_provider_times_out(provider: Provider, impatient: Fetcher) -> None:
    with pytest.raises(errors.SourceTimeout):
        fetch(impatient, provider.add("/a.wav", REC, do.hang()))


def test_a_provider_that_falls_silent_midway_times_out(impatient: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        held: list[socket.socket] = []

        def serve() -> None:
            connection, _ = server.accept()
            held.append(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nRIFF")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(errors.SourceTimeout):
            fetch(impatient, url)
        thread.join()
        held[0].close()


def test_headers_that_trickle_in_do_not_hold_a_slot(impatient: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
                while not over.wait(0.1):
                    connection.sendall(b"a")

        thread = threading.Thread(target=serve)
        thread.start()
        began = monotonic()
        with pytest.raises(errors.SourceTimeout):
            fetch(impatient, f"http://127.0.0.1:{server.getsockname()[1]}/a.wav")
        assert monotonic() - began < 5
        over.set()
        thread.join()


def test_a_slow_source_hands_over_what_it_has(provider: Provider, fetcher: Fetcher) -> None:
    url = provider.add("/a.wav", REC, do.slow(100_000))
    began = monotonic()
    with fetcher.open(Request(url)) as body:
        assert 0 < body.readinto(memoryview(bytearray(SIZE))) < SIZE
    assert monotonic() - began < 2.9


def test_nobody_listening_is_unreachable(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(errors.SourceUnreachable):
        fetch(fetcher, f"http://127.0.0.1:{port}/a.wav")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", errors.SourceUnreachable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nRIFF..", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nRIFF..", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nRIFF..", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", errors.SourceError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nRIFF\r\n", errors.SourceError),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", errors.SourceError),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://example.com/\r\nContent-Length: 0\r\n\r\n", errors.SourceBlocked),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(
    fetcher: Fetcher, answer: bytes, expected: type[errors.AttemptError]
) -> None:
    with answering(answer) as url, pytest.raises(expected):
        fetch(fetcher, url)


def test_redirects_are_followed(provider: Provider, fetcher: Fetcher) -> None:
    provider.add("/c.wav", REC)
    provider.add("/b", b"", do.redirect("c.wav", 307))
    assert fetch(fetcher, provider.add("/a", b"", do.redirect(provider.url + "/b"))) == WAV


def test_a_redirect_loop_is_blocked(provider: Provider, fetcher: Fetcher) -> None:
    with pytest.raises(errors.SourceBlocked):
        fetch(fetcher, provider.add("/a", b"", do.redirect("/a")))
    assert len(provider.log) == 6


def test_twilio_credentials_reach_twilio(provider: Provider, fetcher: Fetcher, upload: Callable[..., Upload]) -> None:
    url = provider.add("/RE1.wav", REC, do.basic_auth("AC1", "token"))
    twilio = {"twilio": Twilio(hosts=("127.0.0.1",))}
    asked = upload(url, "twilio")
    assert fetch(fetcher, resolve(asked, Credentials("token", "AC1"), adapters=twilio)) == WAV
    with pytest.raises(errors.SourceForbidden):
        fetch(fetcher, resolve(asked, Credentials("wrong", "AC1"), adapters=twilio))
    with pytest.raises(errors.CredentialsMissing):
        fetch(fetcher, resolve(asked, None, adapters=twilio))
    with pytest.raises(errors.SourceForbidden):
        fetch(fetcher, resolve(asked, Credentials("token", "AC1")))  # 127.0.0.1 is not Twilio's: nothing was sent
    assert "authorization" not in provider.log[-1].headers


def test_a_bearer_stays_behind_when_a_redirect_leads_elsewhere(
    provider: Provider, fetcher: Fetcher, upload: Callable[..., Upload]
) -> None:
    with Provider() as bucket:
        bucket.add("/back", b"", do.redirect(provider.url + "/again"))
        provider.add("/again", REC)
        provider.add("/call/call-1/mono-recording", b"", do.bearer("key"), do.redirect(bucket.url + "/back"))
        vapi = {"vapi": Vapi(api=provider.url, hosts=("127.0.0.1",))}
        request = resolve(upload("https://storage.vapi.ai/x.wav", "vapi"), Credentials("key"), adapters=vapi)
        assert fetch(fetcher, request) == WAV
        assert "authorization" not in bucket.log[0].headers
    assert [asked.headers.get("authorization") for asked in provider.log] == ["Bearer key", None]


def test_a_bearer_comes_along_to_another_page_of_the_same_host(provider: Provider, fetcher: Fetcher) -> None:
    provider.add("/b", REC, do.bearer("key"))
    url = provider.add("/a", b"", do.bearer("key"), do.redirect("/b"))
    assert fetch(fetcher, Request(url, authorization="Bearer key", authorization_hosts=("127.0.0.1",))) == WAV


def test_a_header_cannot_be_smuggled_in_through_a_credential(provider: Provider, fetcher: Fetcher) -> None:
    url = provider.add("/a", REC)
    with pytest.raises(errors.AttemptError):
        fetch(fetcher, Request(url, authorization="Bearer a\r\nX: y", authorization_hosts=("127.0.0.1",)))
    assert not provider.log

"""How a provider can misbehave: each behaviour changes the plan of one answer. They combine, in the order given."""

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from workers.demo.recordings import Recording

_ERROR_XML = (
    b'<?xml version="1.0"?><TwilioResponse><RestException><Status>404</Status></RestException></TwilioResponse>'
)
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>" + b"<p>Sign in to go on.</p>" * 300


@dataclass(slots=True)
class Answer:
    """What will be sent. ``body`` may be a recording made as it goes out; ``length`` None sends it in chunks."""

    body: bytes | Recording
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_chunked: bool = False
    ends_with_connection: bool = False
    cut_at: int | None = None
    bytes_per_s: float | None = None
    start: int = 0
    hangs: bool = False

    def blocks(self) -> Iterator[bytes]:
        if isinstance(self.body, Recording):
            yield from self.body.blocks(self.start)
        else:
            yield self.body[self.start :]

    def fail(self, status: int, body: bytes, content_type: str) -> None:
        self.status, self.body, self.headers, self.start = status, body, {"Content-Type": content_type}, 0


Headers = Mapping[str, str]
Behaviour = Callable[[Headers, Answer], None]


def _first(times: int | None) -> Callable[[], bool]:
    """True for the first so many questions; None: always."""
    lock, asked = threading.Lock(), 0

    def is_due() -> bool:
        nonlocal asked
        with lock:
            asked += 1
            return times is None or asked <= times

    return is_due


def not_ready(times: int | None = None) -> Behaviour:
    """404 with an XML error, as Twilio answers while a recording is still being made."""
    return _failing(404, times, _ERROR_XML, "application/xml")


def status(code: int, times: int | None = None, *, retry_after: str | None = None) -> Behaviour:
    return _failing(code, times, b'{"error": "no"}', "application/json", retry_after=retry_after)


def html(times: int | None = None) -> Behaviour:
    """A sign-in page with status 200, called audio: what must never be stored."""
    return _failing(200, times, _PAGE, "audio/x-wav")


def error_xml(times: int | None = None) -> Behaviour:
    """An XML error with status 200."""
    return _failing(200, times, _ERROR_XML, "application/xml")


def _failing(
    code: int, times: int | None, body: bytes, content_type: str, *, retry_after: str | None = None
) -> Behaviour:
    is_due = _first(times)

    def behave(_: Headers, answer: Answer) -> None:
        if is_due():
            answer.fail(code, body, content_type)
            if retry_after is not None:
                answer.headers["Retry-After"] = retry_after

    return behave


def cut(at_bytes: int, times: int | None = None) -> Behaviour:
    """Close the connection after so many bytes of the body, counted from the recording's beginning."""
    is_due = _first(times)

    def behave(_: Headers, answer: Answer) -> None:
        if answer.status < 300 and is_due():
            answer.cut_at = at_bytes

    return behave


def oversize(length: int) -> Behaviour:
    """A body of this length, announced truly and made as it is sent."""

    def behave(_: Headers, answer: Answer) -> None:
        answer.body = Recording(0, length)

    return behave


def redirect(to: str, code: int = 302) -> Behaviour:
    def behave(_: Headers, answer: Answer) -> None:
        answer.fail(code, b"moved", "text/plain")
        answer.headers["Location"] = to

    return behave


def slow(bytes_per_s: float) -> Behaviour:
    def behave(_: Headers, answer: Answer) -> None:
        answer.bytes_per_s = bytes_per_s

    return behave


def no_length() -> Behaviour:
    """Chunked: the length is not announced, the end is."""

    def behave(_: Headers, answer: Answer) -> None:
        answer.is_chunked = True

    return behave


def until_close() -> Behaviour:
    """Neither length nor chunks: the body ends with the connection."""

    def behave(_: Headers, answer: Answer) -> None:
        answer.ends_with_connection = True

    return behave


def basic_auth(user: str, password: str) -> Behaviour:
    return _authorised("Basic " + b64encode(f"{user}:{password}".encode()).decode())


def bearer(token: str) -> Behaviour:
    return _authorised(f"Bearer {token}")


def _authorised(expected: str) -> Behaviour:
    def behave(headers: Headers, answer: Answer) -> None:
        if headers.get("authorization") != expected:
            answer.fail(401, b"", "text/plain")

    return behave


def ranged(etag: str | None = '"v1"', last_modified: str | None = None) -> Behaviour:
    """Serve Range with If-Range, as object stores do: what makes a broken read resumable."""

    def behave(headers: Headers, answer: Answer) -> None:
        if answer.status != 200:
            return
        answer.headers["Accept-Ranges"] = "bytes"
        answer.headers |= {"ETag": etag} if etag else {}
        answer.headers |= {"Last-Modified": last_modified} if last_modified else {}
        asked = headers.get("range", "")
        if asked.startswith("bytes=") and headers.get("if-range") in (etag, last_modified):
            answer.start, total = int(asked[6:].partition("-")[0]), len(answer.body)
            answer.status = 206
            answer.headers["Content-Range"] = f"bytes {answer.start}-{total - 1}/{total}"

    return behave


def hang() -> Behaviour:
    """Take the question and say nothing until the provider is closed."""

    def behave(_: Headers, answer: Answer) -> None:
        answer.hangs = True

    return behave


def header(name: str, value: str) -> Behaviour:
    """Send this header as well, or instead."""

    def behave(_: Headers, answer: Answer) -> None:
        answer.headers[name] = value

    return behave

"""Whether Flower is closed, as a stranger finds it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from workers.doctor import network
from workers.doctor.patient import Patient
from workers.doctor.result import Result, ok, unseen, wrong

_WITHIN_S = 3.0
#: Two that Flower leaves open by itself, and two that it does not.
PATHS = ("/metrics", "/healthcheck", "/api/tasks", "/")
_START = "start it with `recordings flower`, which asks for the login on every route"


def check(patient: Patient) -> Iterator[Result]:
    url = patient.get("FLOWER_URL").rstrip("/")
    if not url:
        yield unseen("flower.closed", "not checked: FLOWER_URL is not set")
        return
    try:
        answers = {path: _ask(url, path) for path in PATHS}
    except (OSError, HTTPException, ValueError) as error:
        yield wrong("flower.closed", f"Flower does not answer ({type(error).__name__})", "is it running? See its log")
        return
    yield judge(answers)
    parts = urlsplit(url)
    is_tls, remedy = parts.scheme == "https", "put TLS in front of Flower: basic auth travels readable without"
    where = network.place(parts.hostname or "")
    yield network.encryption("flower.encrypted", where, is_encrypted=is_tls, is_verified=is_tls, remedy=remedy)
    if patient.get("FLOWER_BASIC_AUTH"):
        yield from _login(url, patient.get("FLOWER_BASIC_AUTH").partition(",")[0])


def judge(answers: Mapping[str, int]) -> Result:
    """Statuses that a stranger got. To be sent to a login (302) is as good as to be refused."""
    opened = [path for path, status in answers.items() if status not in (302, 401)]
    if opened:
        return wrong("flower.closed", f"Flower answers strangers at {', '.join(opened)}", _START)
    return ok("flower.closed", "Flower answers strangers on no route that was tried")


def _login(url: str, login: str) -> Iterator[Result]:
    status = _ask(url, "/healthcheck", Authorization=f"Basic {b64encode(login.encode()).decode()}")
    if status == 200:
        yield ok("flower.login", "FLOWER_BASIC_AUTH opens it")
    else:
        yield wrong("flower.login", f"FLOWER_BASIC_AUTH does not open it ({status})", "is this the running Flower's?")


def _ask(url: str, path: str, **headers: str) -> int:
    parts = urlsplit(url)
    dial = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = dial(parts.netloc, timeout=_WITHIN_S)
    try:
        connection.request("GET", parts.path + path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()

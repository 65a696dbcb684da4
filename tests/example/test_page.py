"""The page in a browser, over the running stack: two organisations side by side; by mouse, by keyboard, read aloud.

Set ``SCREENSHOTS`` to a folder to look at what it looked like.
"""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from importlib.resources import files
from threading import Event
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from examples.call_handler.demo import furnish
from examples.call_handler.reporters import CLINICS
from tests.example.chromium import chromium
from tests.example.conftest import App, serve
from tests.example.side import Side
from tests.stack.conftest import RunningStack, stack  # noqa: F401 - a fixture
from tests.waiting import until
from workers.demo.behaviours import html

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def app(stack: RunningStack) -> Iterator[App]:  # noqa: F811
    authenticator = stack.roles["authenticator"]
    settings = {
        "API_DATABASE_URL": authenticator["DATABASE_URL"],
        "WEBHOOK_DATABASE_URL": stack.roles["call_handler"]["DATABASE_URL"],
        "MEDIA_ORIGIN": stack.roles["admin"]["AWS_ENDPOINT_URL_S3"],
    }
    secret = authenticator["RECORDINGS_JWT_SECRET"]
    for url, hub in serve(settings, secret):
        yield App(url, None, hub, secret)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sides(app: App, stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:  # noqa: F811
    furnish(stack.roles["admin"]["DATABASE_URL"])
    with ExitStack() as open_:
        made_: list[Side] = []
        for clinic in CLINICS:
            folder = tmp_path_factory.mktemp("browser")
            made_.append(Side(app, stack, clinic, open_.enter_context(chromium(folder)), folder))
        yield made_[0], made_[1]


@pytest.fixture
def side(sides: tuple[Side, Side]) -> Side:
    sides[0].sign_in()
    return sides[0]


def test_two_organisations_side_by_side_each_see_and_hear_their_own(sides: tuple[Side, Side]) -> None:
    ours, theirs = sides
    (our_call, our_bytes), (their_call, _) = ours.end_a_call(1, 3), theirs.end_a_call(2, 4)
    for side in sides:
        side.sign_in()
    until(lambda: ours.status(our_call) == theirs.status(their_call) == "Stored")
    seen = [
        {row.get_attribute("data-call") for row in side.browser.find_elements(By.CSS_SELECTOR, "#calls tr")}
        for side in sides
    ]
    assert seen[0].isdisjoint(seen[1])
    assert ours.at("h1#desk-title").text == f"Calls of {ours.clinic.name}"

    ours.button(our_call, "Play").click()
    until(lambda: ours.audio()["at"] > 0.3)
    playing = ours.audio()
    assert (round(playing["long"]), playing["error"]) == (3, None)
    # What the player plays are the very bytes that the provider had.
    link = str(playing["url"])
    assert urlsplit(link).netloc == urlsplit(ours.stack.roles["admin"]["AWS_ENDPOINT_URL_S3"]).netloc
    assert sha256(requests.get(link, timeout=10).content).digest() == sha256(our_bytes).digest()
    theirs.button(their_call, "Play").click()
    until(lambda: theirs.audio()["at"] > 0.3)
    for side, name in zip(sides, ("ours", "theirs"), strict=True):
        side.keep_picture(f"playing-{name}")
        assert side.complaints() == []


def test_what_is_downloaded_is_what_the_provider_had(side: Side) -> None:
    call_id, content = side.end_a_call(3, 2)
    until(lambda: side.status(call_id) == "Stored")
    side.button(call_id, "Download").click()
    file = side.folder / f"recording-{call_id}.wav"
    until(file.exists)
    assert sha256(file.read_bytes()).digest() == sha256(content).digest()


def test_selected_recordings_are_exported_as_one_zip_and_no_others(side: Side) -> None:
    wanted = dict(side.end_a_call(number, 2) for number in (12, 13))
    left, _ = side.end_a_call(14, 2)
    until(lambda: all(side.status(call_id) == "Stored" for call_id in (*wanted, left)))
    assert not side.at("#export").is_enabled()
    for call_id in wanted:
        side.row(call_id).find_element(By.TAG_NAME, "input").click()
    assert side.at("#export").text == "Export 2 selected"
    side.keep_picture("selected")
    side.at("#export").click()
    until(lambda: list(side.folder.glob("recordings-*.zip")))
    assert "export is ready" in side.at("#live").text
    with zipfile.ZipFile(next(side.folder.glob("recordings-*.zip"))) as archive:
        sounds = {name: archive.read(name) for name in archive.namelist() if name.endswith(".wav")}
    assert sounds == {f"recording-{call_id}.wav": content for call_id, content in wanted.items()}


def test_from_the_page_of_one_there_is_no_way_to_anothers(sides: tuple[Side, Side]) -> None:
    ours, theirs = sides
    their_call, _ = theirs.end_a_call(4, 2)
    ours.sign_in()
    script = """
        const done = arguments[arguments.length - 1], call = arguments[0];
        const headers = {Authorization: "Bearer " + sessionStorage.getItem("call-handler-token"),
                         "Content-Type": "application/json"};
        Promise.all([
            fetch(`/api/calls/${call}`, {headers}),
            fetch(`/api/calls/${call}/download`, {headers, method: "POST", body: JSON.stringify({reason: "r"})}),
        ]).then((answers) => done(answers.map((answer) => answer.status)));
    """
    assert ours.browser.execute_async_script(script, their_call) == [404, 404]
    ours.browser.get_log("browser")  # type: ignore[no-untyped-call]  # it complains of each 404


def test_a_recording_shows_as_it_is_being_stored_without_a_reload_and_where_one_stands_stays(side: Side) -> None:
    stored, _ = side.end_a_call(5, 2)
    until(lambda: side.status(stored) == "Stored")
    play = side.button(stored, "Play")
    play.send_keys("")  # focus, and nothing pressed
    side.browser.execute_script("arguments[0].focus()", play)
    name = side.focus()
    let_go = Event()
    slow_call, _ = side.end_a_call(6, 4, lambda *_: let_go.wait(60))
    until(lambda: side.status(slow_call) in {"Waiting", "Being stored"})
    side.keep_picture("being-stored")
    assert not side.button(slow_call, "Play").is_enabled()
    let_go.set()
    until(lambda: side.status(slow_call) == "Stored")
    assert side.button(slow_call, "Play").is_enabled()
    assert side.focus() == name
    assert side.at("#live").text.startswith("Stored: the call of")


def test_a_failed_recording_says_why_and_cannot_be_played(side: Side) -> None:
    call_id, _ = side.end_a_call(7, 2, html())
    until(lambda: side.status(call_id) == "Failed (not_audio)")
    assert not side.button(call_id, "Play").is_enabled()
    assert not side.row(call_id).find_element(By.TAG_NAME, "input").is_enabled()


def test_a_link_that_has_run_out_is_replaced_and_playing_goes_on_where_it_was(side: Side) -> None:
    call_id, _ = side.end_a_call(8, 60)
    until(lambda: side.status(call_id) == "Stored")
    side.button(call_id, "Play").click()
    until(lambda: side.audio()["at"] > 0.2)
    # As after a long pause: the link's time is over, and the next piece is asked for.
    script = (
        "const a = document.getElementById('audio'); a.pause(); const now = Date.now; Date.now = () => now() + 60000;"
        "a.src = a.src.replace(/Signature=../, 'Signature=zz'); a.currentTime = 40; a.load(); a.currentTime = 40;"
    )
    side.browser.execute_script(script)
    asked = "SELECT count(*) FROM recording_downloads WHERE call_id = %s"
    until(lambda: side.stack.admin.execute(asked, (call_id,)).fetchone() == (2,))
    until(lambda: "=zz" not in side.audio()["url"] and side.audio()["error"] is None and side.audio()["at"] > 40.5)
    assert side.at("#problem").text == ""


def test_a_reason_is_asked_for_before_anything_is_handed_out(side: Side) -> None:
    call_id, _ = side.end_a_call(9, 2)
    until(lambda: side.status(call_id) == "Stored")
    side.at("#reason").clear()
    side.button(call_id, "Play").click()
    until(lambda: "Say why first" in side.at("#problem").text)
    assert side.focus() == "reason"
    side.at("#reason").send_keys("complaint 7")
    side.button(call_id, "Download").click()
    until(lambda: "Downloading" in side.at("#live").text)
    query = "SELECT reason, requested_by FROM recording_downloads WHERE call_id = %s"
    assert side.stack.admin.execute(query, (call_id,)).fetchall() == [("complaint 7", side.clinic.user_id)]


def test_everything_is_reached_and_done_by_keyboard(side: Side) -> None:
    call_id, _ = side.end_a_call(10, 3)
    until(lambda: side.status(call_id) == "Stored")
    assert side.focus() == "desk-title"
    wanted = side.button(call_id, "Play").get_attribute("aria-label")
    for _ in range(60):
        ActionChains(side.browser).send_keys(Keys.TAB).perform()
        if side.focus() == wanted:
            break
    assert side.focus() == wanted
    outline = side.browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    ActionChains(side.browser).send_keys(Keys.ENTER).perform()
    until(lambda: side.audio()["at"] > 0.2)
    assert side.focus() == "audio"
    ActionChains(side.browser).send_keys(Keys.SPACE).perform()
    until(lambda: side.browser.execute_script("return document.getElementById('audio').paused"))


def violations(side: Side) -> list[Any]:
    side.browser.execute_script((files("axe_core_python") / "axe.min.js").read_text())
    found = side.browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document).then((result) => done(result.violations.map((one) => "
        "[one.id, one.nodes.map((node) => node.html)])), (error) => done([String(error)]))"
    )
    return list(found)


def test_axe_finds_nothing_wrong_on_any_view(side: Side) -> None:
    call_id, _ = side.end_a_call(11, 2)
    until(lambda: side.status(call_id) == "Stored")
    assert violations(side) == []
    side.row(call_id).find_element(By.TAG_NAME, "input").click()
    side.button(call_id, "Play").click()
    until(lambda: side.at("#player").is_displayed())
    assert violations(side) == []
    side.at("#sign-out").click()
    side.keep_picture("signed-out")
    assert violations(side) == []


def test_signing_out_leaves_nothing_behind(side: Side) -> None:
    side.at("#sign-out").click()
    assert side.focus() == "token"
    assert side.at("#calls").get_attribute("textContent") == ""
    assert side.browser.execute_script("return [sessionStorage.length, localStorage.length, document.cookie]") == [
        0,
        0,
        "",
    ]
    side.browser.refresh()
    assert side.at("#entrance").is_displayed()


def test_a_token_that_is_no_good_is_said_to_be(side: Side) -> None:
    side.at("#sign-out").click()
    side.at("#token").send_keys("no.such.token" + Keys.ENTER)
    until(lambda: "Sign in" in side.at("#problem").text)
    assert side.at("#problem").get_attribute("role") == "alert"
    assert side.at("#entrance").is_displayed()
    side.browser.get_log("browser")  # type: ignore[no-untyped-call]  # it complains of the 401


def test_an_organisation_without_calls_is_told_so(side: Side) -> None:
    empty = side.stack.organisation()
    side.at("#sign-out").click()
    side.at("#token").send_keys(side.app.token(empty, uuid4()) + Keys.ENTER)
    until(lambda: side.at("#none").is_displayed())
    side.keep_picture("no-calls")

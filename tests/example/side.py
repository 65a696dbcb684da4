"""One organisation of the example, and a browser that its user sits at."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from examples.call_handler.demo import made, report
from examples.call_handler.reporters import Clinic, Ended, tone
from tests.example.conftest import App
from tests.stack.conftest import RunningStack
from tests.waiting import until


@dataclass
class Side:
    """One organisation: its calls at the provider, its user's token, and a browser that this user sits at."""

    app: App
    stack: RunningStack
    clinic: Clinic
    browser: Chrome
    folder: Path

    @property
    def org_id(self) -> UUID:
        return self.clinic.org_id

    @property
    def bearer(self) -> str:
        return self.app.token(self.org_id, self.clinic.user_id)

    def end_a_call(self, number: int, seconds: int, *behaviours: Any) -> tuple[str, bytes]:
        """A call ends, and the provider tells; its id here, and the recording's very bytes."""
        ended = made(self.stack.provider, number, seconds, *behaviours)
        assert report(self.app.reporter, self.clinic, ended) == 200
        return self.call_id(ended), tone(number, seconds)

    def call_id(self, ended: Ended) -> str:
        query = "SELECT id FROM call_logs WHERE org_id = %s AND provider_call_id = %s"
        row = self.stack.admin.execute(query, (self.org_id, ended.call_id)).fetchone()
        assert row is not None
        return str(row[0])

    # What one sees and does ------------------------------------------------------------------------------------------

    def sign_in(self) -> None:
        # The same origin, and nothing at work there.
        self.browser.get(f"{self.app.url}/icon.svg")
        self.browser.execute_script("sessionStorage.clear()")
        self.browser.get(self.app.url)
        self.at("#token").send_keys(self.bearer + Keys.ENTER)
        until(lambda: self.at("#desk").is_displayed())

    def at(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def row(self, call_id: str) -> WebElement:
        selector = f'tr[data-call="{call_id}"]'
        return until(lambda: self.browser.find_elements(By.CSS_SELECTOR, selector))[0]

    def status(self, call_id: str) -> str:
        return self.row(call_id).find_element(By.CSS_SELECTOR, "td[data-status]").text

    def button(self, call_id: str, name: str) -> WebElement:
        return self.row(call_id).find_element(By.XPATH, f".//button[text()='{name}']")

    def audio(self) -> dict[str, Any]:
        script = (
            "const a = document.getElementById('audio');"
            "return {at: a.currentTime, long: a.duration, url: a.currentSrc, error: a.error && a.error.message}"
        )
        found: dict[str, Any] = self.browser.execute_script(script)
        return found

    def focus(self) -> str:
        element = self.browser.switch_to.active_element
        return element.get_attribute("aria-label") or element.get_attribute("id") or element.text

    def keep_picture(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            self.browser.save_screenshot(f"{folder}/{name}.png")

    def complaints(self) -> list[Any]:
        """What the browser says is wrong: scripts that failed, what the policy forbade."""
        log: list[Any] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

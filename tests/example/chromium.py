"""Debian's Chromium without a window, driven over WebDriver. Nothing is downloaded, and it calls nobody but us."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1280,900",
    "--lang=en-GB",
)


def _binary(name: str) -> str:
    """Skips where it is not installed; fails where REQUIRE_CHROMIUM says that it must be."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("REQUIRE_CHROMIUM"):
            pytest.fail(f"{name} is missing: apt-get install chromium chromium-driver")
        pytest.skip(f"{name} is not installed: apt-get install chromium chromium-driver")
    return found


@contextmanager
def chromium(folder: Path) -> Iterator[Chrome]:
    """A browser of its own, which keeps what it downloads in ``folder``."""
    options = ChromeOptions()
    options.binary_location = _binary("chromium")
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = ChromeService(_binary("chromedriver"), env=dict(os.environ) | {"NO_PROXY": "*"})
    driver = Chrome(options=options, service=service)
    try:
        driver.set_page_load_timeout(60)
        yield driver
    finally:
        driver.quit()

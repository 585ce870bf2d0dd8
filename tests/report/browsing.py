"""A headless Chromium, and what tests ask of a page that is open in it."""

from __future__ import annotations

import time

import pytest

from tests.conftest import browser_programs

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, driver = browser_programs()
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


def undrawn(browser) -> int:
    waiting = "[...document.querySelectorAll('.plot[aria-busy]')]"
    return browser.execute_script(f"return {waiting}.filter(p => !p.closest('details:not([open])')).length")


def wait_until(condition, seconds=120) -> None:
    # A bound on waiting, so that what never happens ends the test.
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def column(browser, table, k: int) -> list[str]:
    script = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[arguments[1]].dataset.value)"
    return browser.execute_script(script, table, k)


def with_width(browser, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_until(lambda: browser.execute_script("return innerWidth") == width)

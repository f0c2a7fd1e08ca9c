"""Chromium on a running installation; skipped by name where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.api.conftest import Installation, installation, scene_database  # noqa: F401 - fixtures

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the system's Chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found is not None, f"no Chromium on PATH (looked for {', '.join(NAMES)})"
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Headless, without the sandbox that refuses to start for root."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, headless=True, chromium_sandbox=False)
        yield running
        running.close()


class Visitor:
    """Opens pages as somebody, and fails on an error of the console."""

    def __init__(self, browser: Browser, installation: Installation, folder: Path) -> None:  # noqa: F811
        self.browser, self.installation, self.folder = browser, installation, folder
        self.errors: list[str] = []

    def page(self, login: str, *, phone: bool = False) -> Page:
        """A page after logging in through the form."""
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
        context = self.browser.new_context(
            viewport=size, base_url=self.installation.url,  # type: ignore[arg-type]
            geolocation={"latitude": 31.2, "longitude": 121.6}, permissions=["geolocation"],
        )  # fmt: skip
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto("/login")
        page.fill("#login", login)
        page.fill("#password", "demo")
        page.press("#password", "Enter")
        page.wait_for_selector("nav")
        return page


@pytest.fixture
def visitor(browser: Browser, installation: Installation, tmp_path: Path) -> Iterator[Visitor]:  # noqa: F811
    """Closes what it opened and checks that no script failed."""
    made = Visitor(browser, installation, tmp_path)
    yield made
    for context in browser.contexts:
        context.close()
    assert made.errors == []

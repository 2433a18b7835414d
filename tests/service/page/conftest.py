"""What the page's tests share: the real service, a real browser, and a reader whose page may not complain."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from convscope.runs import Run

CHROMIUM = "/usr/bin/chromium"  # Debian's
expect.set_options(timeout=20_000)  # this machine may be busy


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once a session."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(run_service: Callable[..., Any], digits_run: Run) -> str:
    """Where the page of a service of the digits network is."""
    return str(run_service(digits_run.path).url)


class Reader:
    """Someone at the page, who sees to it that it stays with its server and reports nothing on the console.

    Attributes:
        allowed: console messages that a test expects, as a pattern.
    """

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.allowed: str | None = None
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def go(self, place: str = "") -> "Reader":
        """Open a place by its link and wait for its level and for what the network says."""
        self.page.goto(f"{self.address}/{place}")
        expect(self.page.locator("main .level")).to_be_visible()
        expect(self.page.locator("#rail .verdict").first).to_be_visible()
        return self

    def move(self, place: str) -> None:
        """Open another place without loading the page anew."""
        self.page.evaluate("place => { location.hash = place; }", place)

    def level(self, name: str) -> Locator:
        """The level, once it is there."""
        level = self.page.locator(f"main .level-{name}")
        expect(level).to_be_visible()
        return level

    def at(self, *parts: str) -> None:
        """Wait until the address holds these parts."""
        for part in parts:
            expect(self.page).to_have_url(re.compile(rf"[#&]{re.escape(part)}(&|$)"))

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def end(self) -> None:
        """Close the page; it must have asked its own server alone, and the console must be empty."""
        self.context.close()
        elsewhere = [
            url for url in self.asked if not url.startswith(("blob:", "data:")) and self._origin(url) != self.address
        ]
        assert elsewhere == []
        assert [text for text in self.complaints if not (self.allowed and re.search(self.allowed, text))] == []


@pytest.fixture
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    """A reader of the digits network's page."""
    someone = Reader(browser, address)
    yield someone
    someone.end()

"""The page in a browser -> what someone at it does: go to places, press keys; it may not complain nor ask elsewhere."""

import re
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

expect.set_options(timeout=20_000)  # this machine may be busy


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

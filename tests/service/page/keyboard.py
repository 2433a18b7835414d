"""The page's reader without a mouse: keys alone, and a focus that is there and is seen at every stop."""

import re

from playwright.sync_api import expect

from tests.service.page.reader import Reader

FOCUS = """() => { const e = document.activeElement, style = getComputedStyle(e);
    const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return e === document.body ? null : [e.id || e.textContent, seen]; }"""


class Keyboard(Reader):
    """Someone who moves the focus by keys only."""

    def go(self, place: str = "") -> "Keyboard":
        """Open a place by its link and wait until it is drawn, also on a page that showed another."""
        self.page.evaluate("document.querySelector('main .level')?.setAttribute('data-old', '')")
        super().go(place)
        expect(self.page.locator("main .level:not([data-old])")).to_be_visible()
        return self

    def tab(self, name: str, back: bool = False) -> str:
        """Press Tab, at most once round the page, up to what has an id (or else a text) like this pattern; the id."""
        for _ in range(150):
            self.press("Shift+Tab" if back else "Tab")
            focus = self.page.evaluate(FOCUS)
            if focus is None:  # between the page's end and its beginning
                continue
            assert focus[1], f"no outline around {focus[0]}"
            if re.fullmatch(name, focus[0]):
                return str(focus[0])
        raise AssertionError(f"Tab does not lead to {name}")

    def on(self, name: str) -> None:
        """Wait until the focus is on what has this id, and see its outline."""
        expect(self.page.locator(f"[id='{name}']")).to_be_focused()
        assert self.page.evaluate(FOCUS)[1], f"no outline around {name}"

    def use(self, name: str, *keys: str) -> None:
        """Tab to a control and press keys on it."""
        self.tab(name)
        self.press(*keys)

    def shows(self, cell: str) -> None:
        """Wait until the number in focus is that of this cell."""
        expect(self.page.locator("#focus")).to_have_attribute("data-cell", cell)

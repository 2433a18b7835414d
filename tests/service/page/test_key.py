"""A service with a key: the page asks for it once, keeps it for the tab, and says what is wrong with another."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from convscope.runs import Run, load_run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader

KEY = "a-key-of-more-than-enough-characters"


def test_the_page_asks_for_the_key_once(browser: Browser, digits_run: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    served = Served("digits", "0" * 64, load_run(digits_run.path))
    with Here(Settings(api_key_file=keys), Models([served])) as here:
        reader = Reader(browser, str(here.client.base_url))
        reader.allowed = "401"
        reader.page.goto(f"{reader.address}/#img=digits:5&layer=stem.conv&c=3&y=2&x=0")
        reader.page.get_by_label("API key").fill(KEY)
        reader.press("Enter")
        expect(reader.level("pixel").locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,2,0")
        expect(reader.page.locator("#rail .verdict")).to_be_visible()
        refused = len(reader.complaints)
        reader.page.reload()
        reader.level("pixel")
        assert len(reader.complaints) == refused
        assert all(KEY not in url for url in reader.asked)
        reader.end()


def test_a_wrong_key_is_said(browser: Browser, digits_run: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    served = Served("digits", "0" * 64, load_run(digits_run.path))
    with Here(Settings(api_key_file=keys), Models([served])) as here:
        reader = Reader(browser, str(here.client.base_url))
        reader.allowed = "401"
        reader.page.goto(reader.address)
        reader.page.get_by_label("API key").fill("another")
        reader.press("Enter")
        expect(reader.page.get_by_label("API key")).to_have_value("")  # asked again
        reader.press("Escape")
        expect(reader.page.get_by_role("alert")).to_be_visible()
        reader.end()

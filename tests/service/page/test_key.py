"""A service with a key: the page asks for it once, keeps it for the tab, and says what is wrong with another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from convscope.runs import Run, load_run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader

KEY = "a-key-of-more-than-enough-characters"


@pytest.fixture
def stranger(browser: Browser, digits_run: Run, tmp_path: Path) -> Iterator[Reader]:
    """Someone at the page of a service with a key, without it."""
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    served = Served("digits", "0" * 64, load_run(digits_run.path))
    with Here(Settings(api_key_file=keys), Models([served])) as here:
        reader = Reader(browser, str(here.client.base_url))
        reader.allowed = "401"
        yield reader
        reader.end()


def test_the_page_asks_for_the_key_once(stranger: Reader) -> None:
    stranger.page.goto(f"{stranger.address}/#img=digits:5&layer=stem.conv&c=3&y=2&x=0")
    stranger.page.get_by_label("API key").fill(KEY)
    stranger.press("Enter")
    expect(stranger.level("pixel").locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,2,0")
    expect(stranger.page.locator("#rail .verdict")).to_be_visible()
    refused = len(stranger.complaints)
    stranger.page.reload()
    stranger.level("pixel")
    assert len(stranger.complaints) == refused
    assert all(KEY not in url for url in stranger.asked)


def test_a_wrong_key_is_said(stranger: Reader) -> None:
    stranger.page.goto(stranger.address)
    stranger.page.get_by_label("API key").fill("another")
    stranger.press("Enter")
    expect(stranger.page.get_by_label("API key")).to_have_value("")  # asked again
    stranger.press("Escape")
    expect(stranger.page.get_by_role("alert")).to_be_visible()

"""A walk saved as one file: it opens from the disk, shows the same numbers, and asks nobody for anything."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.service.page.reader import Reader

PLACE = "#img=digits:5&layer=group1.0.sum.branch.conv1&c=3&y=2&x=0"


def test_exported_walk_opens_from_disk(reader: Reader, browser: Browser, tmp_path: Path) -> None:
    focus = reader.go(PLACE).level("pixel").locator("#focus")
    numbers = [focus.get_attribute(f"data-{name}") for name in ("value", "sum", "bound", "cell")]
    with reader.page.expect_download() as download:
        reader.page.locator("#export").click()
    file = tmp_path / "walk.html"
    download.value.save_as(file)

    page = browser.new_context(offline=True).new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    there = page.locator("main .level-pixel #focus")
    expect(there).to_be_visible()
    assert [there.get_attribute(f"data-{name}") for name in ("value", "sum", "bound", "cell")] == numbers
    expect(page.locator("#rail .verdict")).to_be_visible()
    assert page.locator("#choose, #export, #model option:nth-child(2)").count() == 0

    for cell in ("group1.0.sum.branch.conv1", "stem.relu", "stem.norm", "stem.conv", "input"):  # down to the byte
        expect(page.locator("#focus")).to_have_attribute("data-cell", re.compile(f"^{cell}:"))
        if cell != "input":
            page.locator("#source, .ways [tabindex='0']").click()
    page.go_back()
    expect(page.locator("main .level-pixel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("main .level-channel")).to_be_visible()
    page.locator("#view-head").click()
    expect(page.locator("main .level-head")).to_be_visible()
    page.locator("#view-heatmap").click()
    expect(page.locator("main .level-heatmap .map").first).to_be_visible()
    page.locator("#view-network").click()
    expect(page.locator("main .level-graph tr.node")).to_have_count(37)
    page.get_by_role("link", name="sum", exact=False).first.click()
    expect(page.locator("main .level-layer .tile").first).to_be_visible()
    page.wait_for_timeout(500)
    assert [url for url in asked if not url.startswith((file.as_uri(), "data:", "blob:"))] == []
    assert complaints == []
    page.context.close()

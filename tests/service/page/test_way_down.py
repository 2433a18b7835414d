"""Every level of the page, by mouse and by keyboard alone; links that bring one back to the same number."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from convscope.data import load
from tests.service.page.reader import Reader

PIXEL = "#img=digits:5&layer=stem.conv&c=3&y=2&x=0"


def test_all_the_way_down_by_mouse(reader: Reader) -> None:
    reader.go("#img=digits:5")
    page = reader.page
    expect(reader.level("graph").locator("tr.node")).to_have_count(37)
    page.get_by_role("link", name=re.compile(r"^conv convolution 3×3")).first.click()
    expect(reader.level("layer").get_by_role("gridcell")).to_have_count(8)
    page.locator("#channel-3").click()
    reader.level("channel").locator(".main-map .map").click(position={"x": 5, "y": 130})  # row 2 of 8, column 0
    reader.at("layer=stem.conv", "c=3", "y=2", "x=0")
    focus = reader.level("pixel").locator("#focus")
    expect(focus).to_have_attribute("data-cell", "stem.conv:3,2,0")
    value, again, bound = (float(focus.get_attribute(f"data-{name}") or "nan") for name in ("value", "sum", "bound"))
    assert value != 0
    assert abs(value - again) <= bound < 1e-5
    assert page.locator("#panel-patch td.outside").count() == 6  # the left column of patch and products is padding
    page.locator("#trail a").first.click()
    reader.level("graph")


def test_all_the_way_down_and_up_by_keyboard(reader: Reader) -> None:
    reader.go("#img=digits:5")
    page = reader.page
    expect(reader.level("graph").locator("tr.node")).to_have_count(37)
    for _ in range(30):  # tab stops before the table
        reader.press("Tab")
        if page.evaluate("document.activeElement.id") == "node-input":
            break
    reader.press("ArrowDown", "Enter")
    reader.level("layer")
    reader.press("ArrowRight", "ArrowRight", "ArrowRight", "Enter")
    reader.level("channel")
    reader.press("Home", "ArrowUp", "ArrowUp", "Enter")
    reader.at("layer=stem.conv", "c=3", "y=2", "x=0")
    expect(reader.level("pixel").locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,2,0")
    reader.press("ArrowRight")
    expect(page.locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,2,1")
    expect(page.locator("#live")).to_contain_text("row 2, column 1")
    reader.press("ArrowDown")  # the focus stayed on the map
    expect(page.locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,3,1")
    for level in ("channel", "layer", "graph"):
        reader.press("Escape")
        reader.level(level)


def test_a_click_on_its_number_pins_a_channel(reader: Reader) -> None:
    level = reader.go("#img=digits:5&layer=stem.conv").level("layer")
    level.locator("#channel-3 .tag").click()
    reader.at("layer=stem.conv", "pin=3")
    expect(level.locator(".tile").first).to_have_attribute("data-channel", "3")
    level.locator("#channel-3 .tag").click()
    expect(level.locator(".tile").first).to_have_attribute("data-channel", "0")


def test_a_number_of_the_patch_leads_on_to_the_byte(reader: Reader) -> None:
    reader.go("#img=digits:5&layer=stem.conv&c=3&y=2&x=4").level("pixel")
    reader.page.locator("#patch-1-1").focus()
    reader.press("ArrowUp", "Enter")
    focus = reader.level("input").locator("#focus")
    expect(focus).to_have_attribute("data-cell", "input:0,1,4")
    byte = int(load("digits")[1].images[5, 0, 1, 4])
    expect(reader.page.locator("#panel-byte")).to_contain_text(f"the byte {byte} of grey")


@pytest.mark.parametrize(
    ("place", "level", "cell"),
    [
        ("layer=input&c=0&y=1&x=2", "input", "input:0,1,2"),
        ("layer=stem.norm&c=1&y=3&x=4", "norm", "stem.norm:1,3,4"),
        ("layer=stem.relu&c=1&y=3&x=4", "activation", "stem.relu:1,3,4"),
        ("layer=group1.0.sum&c=1&y=3&x=4", "add", "group1.0.sum:1,3,4"),
        ("layer=group2.0.sum.shortcut.conv&c=5&y=3&x=1", "pixel", "group2.0.sum.shortcut.conv:5,3,1"),
        ("layer=pool&c=7&y=0&x=0", "pool", "pool:7,0,0"),
        ("layer=flatten&c=7", "copy", "flatten:7"),
        ("layer=head&c=4", "head", "head:4"),
    ],
)
def test_a_link_opens_its_number(reader: Reader, place: str, level: str, cell: str) -> None:
    focus = reader.go(f"#img=digits:5&{place}").level(level).locator("[data-cell][data-sum]").first
    expect(focus).to_have_attribute("data-cell", cell)
    value, again, bound = (float(focus.get_attribute(f"data-{name}") or "nan") for name in ("value", "sum", "bound"))
    assert abs(value - again) <= bound


def test_the_page_opened_twice_at_a_link_is_the_same(reader: Reader) -> None:
    first = reader.go(PIXEL).level("pixel").inner_text()
    reader.go("")
    assert reader.go(PIXEL).level("pixel").inner_text() == first


def test_back_and_forward(reader: Reader) -> None:
    reader.go(PIXEL).level("pixel")
    reader.press("Escape")
    reader.level("channel")
    reader.page.go_back()
    expect(reader.level("pixel").locator("#focus")).to_have_attribute("data-cell", "stem.conv:3,2,0")
    reader.page.go_forward()
    reader.level("channel")


def test_heatmap_and_backward(reader: Reader) -> None:
    reader.go(f"{PIXEL}&level=backward").level("backward")
    reader.page.locator("#view-heatmap").click()
    reader.level("heatmap")
    reader.at("level=heatmap")


def test_every_digit_of_every_number(reader: Reader) -> None:
    level = reader.go(PIXEL).level("pixel")
    exact = np.float32(level.locator("#focus").get_attribute("data-value") or "nan")
    shown = level.locator("#focus .number")
    assert np.float32(shown.inner_text().replace("−", "-")) != exact
    reader.press("d")
    reader.at("digits=all")
    expect(reader.page.locator("#digits")).to_have_attribute("aria-pressed", "true")
    expect(shown).to_have_text(re.compile(r"\d\.\d{6,}"))
    assert np.float32(shown.inner_text().replace("−", "-")) == exact


def test_hidden_panels_stay_hidden(reader: Reader) -> None:
    reader.go(f"{PIXEL}&hide=im2col,what-if").level("pixel")
    expect(reader.page.locator("#panel-patch")).to_be_visible()
    for panel in ("im2col", "what-if"):
        expect(reader.page.locator(f"#panel-{panel}")).to_be_hidden()


def test_what_if_says_that_it_is_not_the_models_own(reader: Reader) -> None:
    level = reader.go(PIXEL).level("pixel")
    value = level.locator("#focus .number").inner_text()
    level.get_by_label("more padding").click()
    expect(level.locator(".if")).to_contain_text("no longer the model’s own")
    assert level.locator(".if .number").inner_text() != value
    assert level.locator(".if [data-value]").count() == 0
    level.locator("#if-reset").click()
    expect(level.locator(".if")).to_have_count(0)


def test_a_layer_that_there_is_not(reader: Reader) -> None:
    reader.allowed = "no layer 'nowhere'"
    reader.go("#img=digits:5")
    reader.move("img=digits:5&layer=nowhere")
    expect(reader.page.get_by_role("alert")).to_contain_text("no layer 'nowhere'")
    reader.press("Escape")
    reader.level("graph")

"""What stands around every level, by keyboard alone: pictures, mistakes, checkpoints, help, the way to the level."""

import re
from collections.abc import Mapping

import numpy as np
from playwright.sync_api import expect

from convscope.data import load
from convscope.runs import Run
from tests.service.page.keyboard import Keyboard
from tests.service.page.test_pictures import digit_file

PLACE = "#model=digits&img=digits:3"


def test_skip_to_the_level(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.conv&c=3").level("channel")
    keys.use("Skip to the level", "Enter")
    keys.on("cell")
    keys.at("layer=stem.conv", "c=3")


def test_gallery(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.conv").level("layer")
    keys.use("choose", "Enter")
    keys.on("pick-digits-3")
    keys.press("ArrowRight", "Enter")
    keys.at("img=digits:4")
    keys.on("choose")
    keys.press("g")
    keys.on("pick-digits-4")
    keys.use("page-after", "Enter")
    expect(keys.page.locator("#pick-digits-48")).to_be_visible()
    keys.tab("page-before", back=True)
    keys.press("Enter")
    expect(keys.page.locator("#pick-digits-0")).to_be_visible()
    keys.on("page-before")  # which leads no further
    expect(keys.page.locator("#page-before")).to_have_attribute("aria-disabled", "true")
    keys.use("chip-source-test", "Space")
    expect(keys.page.locator("#pick-test-0")).to_be_visible()
    keys.on("chip-source-test")
    keys.use("mistakes", "Space")
    expect(keys.page.locator(".pick:not(.wrong)")).to_have_count(0)
    keys.on("mistakes")
    keys.press("Escape")
    expect(keys.page.locator("dialog")).to_have_count(0)
    keys.on("choose")


def test_upload(keys: Keyboard) -> None:
    keys.go(PLACE).level("graph")
    keys.press("g")
    keys.on("pick-digits-3")
    with keys.page.expect_file_chooser() as asked:
        keys.use("upload", "Enter")
    asked.value.set_files({"name": "seven.png", "mimeType": "image/png", "buffer": digit_file()})
    keys.page.wait_for_url("**#*img=up:*")
    expect(keys.page.locator("dialog")).to_have_count(0)


def test_drawing(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=input&c=0&y=4&x=4").level("input")
    keys.press("g")
    keys.on("pick-digits-3")
    keys.use("draw", "Enter")
    keys.on("pen")
    keys.press("ArrowUp", *["Shift+ArrowDown"] * 4, "ArrowRight", "ArrowRight")  # down the middle, then away
    keys.use("drawn", "Enter")
    keys.page.wait_for_url("**#*img=up:*")
    byte = keys.page.locator("#panel-byte")
    keys.use("cell", "ArrowDown")
    expect(byte).to_contain_text(re.compile("row 5, column 4 holds the byte [1-9]"))
    keys.press("ArrowRight")
    expect(byte).to_contain_text("row 5, column 5 holds the byte 0 ")


def test_camera(keys: Keyboard) -> None:
    keys.go(PLACE).level("graph")
    keys.press("g")
    keys.on("pick-digits-3")
    keys.use("camera", "Enter")
    expect(keys.page.locator("dialog video")).not_to_have_js_property("videoWidth", 0)
    keys.use("shot", "Space")
    keys.page.wait_for_url("**#*img=up:*")


def test_pictures_and_mistakes_one_after_the_other(keys: Keyboard, runs: Mapping[str, Run]) -> None:
    keys.go(f"{PLACE}&layer=stem.conv&c=3").level("channel")
    keys.use("after", "Enter")
    keys.at("img=digits:4")
    keys.on("after")
    keys.use("before", "Space")
    keys.at("img=digits:3")
    test = load("digits")[1]
    wrong = np.flatnonzero(runs["digits"].probabilities(test.images).argmax(axis=1) != test.labels)
    keys.tab("next-mistake")
    for index in [*wrong[wrong > 3], *wrong][:2]:
        keys.press("Enter")
        keys.at(f"img=digits:{index}")
        expect(keys.page.locator("#rail .breaks")).to_be_visible()
        keys.on("next-mistake")
    keys.at("layer=stem.conv", "c=3")


def test_checkpoints(keys: Keyboard, runs: Mapping[str, Run]) -> None:
    keys.go(f"{PLACE}&layer=stem.conv").level("layer")
    says = runs["deep"].probabilities(load("digits")[1].images[3:4])[0].argmax()
    keys.use("compare", "ArrowDown")
    keys.at("compare=deep")
    expect(keys.page.locator("#compared")).to_contain_text(
        f"deep says{runs['deep'].classes[says]}", use_inner_text=False
    )
    keys.on("compare")
    keys.press("ArrowDown")
    keys.at("compare=cifar10-94")
    keys.tab("model", back=True)
    keys.press("ArrowDown")
    keys.at("model=deep")
    keys.level("graph")
    expect(keys.page.locator("#node-linear1")).to_be_visible()
    keys.on("model")
    keys.press("Escape")  # to the level
    keys.on("node-input")


def test_digits_help_and_the_trail(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.conv&c=3&y=2&x=0").level("pixel")
    keys.use("digits", "Enter")
    keys.at("digits=all")
    keys.on("digits")
    keys.use("help", "Enter")
    expect(keys.page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    keys.on("help")
    keys.use("export")
    with keys.page.expect_download():
        keys.press("Enter")
    keys.use("channel 3", "Enter")
    keys.level("channel")
    keys.on("cell")
    keys.use("view-network", "Enter")
    keys.level("graph")
    keys.on("view-network")

"""The way down by keyboard alone: what one can do on it by mouse, one does by Tab, arrows, Enter, Space and Escape."""

from collections.abc import Mapping

import pytest
import torch
from playwright.sync_api import expect

from convscope.runs import Run
from tests.service.page.keyboard import Keyboard
from tests.service.page.test_levels import normalised, outputs

PLACE = "#model=digits&img=digits:3"
CONV = "group1.0.sum.branch.conv1"


@pytest.fixture(scope="module")
def found(runs: Mapping[str, Run]) -> Mapping[str, torch.Tensor]:
    """What PyTorch computes for the picture, in every layer."""
    with torch.no_grad():
        return {name: output[0] for name, output in outputs(runs["digits"].model, normalised(runs["digits"])).items()}


def test_graph(keys: Keyboard) -> None:
    keys.go(PLACE).level("graph")
    keys.use("node-input", "End", "Home", "ArrowDown", "ArrowDown", "Enter")
    keys.at("layer=stem.norm")
    keys.on("channel-0")
    keys.press("Escape")
    keys.level("graph")
    keys.on("node-stem.norm")


def test_layer(keys: Keyboard, found: Mapping[str, torch.Tensor]) -> None:
    keys.go(f"{PLACE}&layer={CONV}").level("layer")
    keys.use("chip-order-largest", "Space")
    keys.at("sort=largest")
    keys.on("chip-order-largest")
    order = found[CONV].abs().amax((1, 2)).argsort(descending=True).tolist()
    tiles = keys.page.locator(".tile")
    expect(tiles.first).to_have_attribute("data-channel", str(order[0]))
    keys.use(f"channel-{order[0]}", "ArrowRight", "p")
    keys.at(f"pin={order[1]}")
    expect(tiles.first).to_have_attribute("data-channel", str(order[1]))
    keys.on(f"channel-{order[1]}")
    keys.press("ArrowRight", "Enter")
    keys.at(f"c={order[0]}")
    keys.on("cell")
    keys.press("Escape")
    keys.level("layer")
    keys.on(f"channel-{order[0]}")


def test_channel(keys: Keyboard) -> None:
    level = keys.go(f"{PLACE}&layer={CONV}&c=3").level("channel")
    cell = level.locator("#cell")
    before = str(cell.get_attribute("data-value"))
    keys.use(r"slice-\d", "Home", "ArrowRight", "ArrowRight")
    expect(keys.page.locator("#slice-2")).to_have_attribute("aria-selected", "true")
    weight = (3 * 8 + 2) * 9  # the first of slice 2
    keys.use(f"weight-{weight}", "Control+a", "1", ".")
    keys.at(f"edits={CONV}:weight:{weight}:1")
    expect(keys.page.locator(".edited")).to_be_visible()
    keys.on(f"weight-{weight}")
    keys.press("5")  # a slow writer: the model has answered meanwhile
    keys.at(f"edits={CONV}:weight:{weight}:1.5")
    expect(keys.page.locator(f"#weight-{weight}")).to_have_value("1.5")
    expect(cell).not_to_have_attribute("data-value", before)
    keys.press("Escape")  # out of the number, not of the level
    keys.on("cell")
    keys.level("channel")
    keys.tab("edits-reset", back=True)
    keys.press("Enter")
    expect(cell).to_have_attribute("data-value", before)
    keys.on("cell")


def test_pixel(keys: Keyboard) -> None:
    level = keys.go(f"{PLACE}&layer={CONV}&c=3&y=2&x=4").level("pixel")
    keys.use("channel-after", "Enter")
    keys.shows(f"{CONV}:4,2,4")
    keys.on("channel-after")
    detail, row = level.locator(".detail caption").first, keys.tab(r"term-\d")
    keys.press("ArrowDown")
    expect(level.locator(f"#{row}")).to_have_attribute("aria-selected", "false")
    chosen = str(level.locator("tr[aria-selected=true]").get_attribute("id"))
    expect(detail).to_have_text(f"patch of channel {chosen.removeprefix('term-')}")
    keys.use("stride-more", "Space")
    keys.use("padding-less", "Enter")
    keys.use("dilation-more", "Enter")
    assert level.locator(".stepper output").all_inner_texts() == ["2", "0", "2"]
    expect(level.locator(".if")).to_contain_text("no longer the model’s own")
    keys.use("if-reset", "Enter")
    expect(level.locator(".if")).to_have_count(0)
    assert level.locator(".stepper output").all_inner_texts() == ["1", "1", "1"]
    keys.on("stride-less")
    keys.use(r"patch-\d-\d", "Home", "ArrowRight", "ArrowDown", "Enter")
    keys.shows(f"stem.relu:{chosen.removeprefix('term-')},2,4")
    keys.on("map-x")


def test_input(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=input&c=0&y=3&x=4").level("input")
    keys.use("cell", "ArrowLeft", "ArrowUp")
    keys.shows("input:0,2,3")
    keys.on("cell")


def test_head(keys: Keyboard, runs: Mapping[str, Run], found: Mapping[str, torch.Tensor]) -> None:
    keys.go(f"{PLACE}&layer=stem.relu").level("layer")
    keys.use("view-head", "Enter")
    level = keys.level("head")
    ranks = found["head"].argsort(descending=True).tolist()
    keys.use(f"class-{ranks[0]}", "ArrowDown", "ArrowDown", "Enter")
    keys.shows(f"head:{ranks[2]}")
    keys.on(f"class-{ranks[2]}")
    keys.use("chip-compare-against", "Enter")
    keys.at("sort=against")
    expect(level.locator("#panel-contributions h2")).to_have_text(f"What argues for {ranks[2]} rather than {ranks[0]}")
    weight = runs["digits"].model.get_submodule("head").weight.detach()
    products = (weight[ranks[2]] - weight[ranks[0]]) * found["flatten"]
    largest = products.abs().argsort(descending=True).tolist()
    keys.use(f"feature-{largest[0]}", "ArrowDown", "Enter")
    keys.shows(f"pool:{largest[1]},0,0")

"""Every level by keyboard alone: what one can do there by mouse, one does by Tab, arrows, Enter, Space and Escape."""

import re
from collections.abc import Iterator, Mapping

import pytest
import torch
from playwright.sync_api import Browser, expect

from convscope.runs import Run
from tests.service.page.keyboard import Keyboard
from tests.service.page.test_levels import normalised, outputs

PLACE = "#model=digits&img=digits:3"
CONV = "group1.0.sum.branch.conv1"


@pytest.fixture(scope="module")
def keys(browser: Browser, site: str) -> Iterator[Keyboard]:
    """One page for all tests of this file: each goes to its place by a link."""
    someone = Keyboard(browser, site)
    yield someone.go(PLACE)
    someone.end()


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
    keys.use(r"patch-\d-\d", "ArrowRight", "ArrowDown", "Enter")
    keys.shows(f"stem.relu:{chosen.removeprefix('term-')},2,4")
    keys.on("map-x")


def test_backward(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer={CONV}&c=3&y=2&x=4").level("pixel")
    keys.use("view-backward", "Enter")
    level = keys.level("backward")
    keys.on("view-backward")
    keys.use("choose-class", "7")
    keys.at("target=7")
    keys.on("choose-class")
    keys.press("ArrowDown")
    keys.at("target=8")
    expect(level.locator("#focus .eyebrow")).to_contain_text("logit of 8")
    keys.on("choose-class")
    keys.use("choose-input", "ArrowDown")
    keys.at("from=1")
    keys.on("choose-input")
    keys.use("map-gradient", "ArrowLeft")
    keys.shows(f"{CONV}:3,2,3")
    keys.use("through-.*", "Enter")
    keys.shows("group1.0.sum.branch.norm1:3,2,3")
    keys.level("backward")
    keys.on("map-gradient")
    keys.press("Escape")
    keys.level("norm")


def test_norm(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.norm&c=3&y=2&x=4").level("norm")
    keys.use("map-y", "ArrowRight")
    keys.shows("stem.norm:3,2,5")
    keys.press("ArrowDown")  # the focus stayed on the map
    keys.shows("stem.norm:3,3,5")
    expect(keys.page.locator("#live")).to_contain_text("row 3, column 5")
    kept = str(keys.page.locator("#focus").get_attribute("data-value"))
    keys.use("chip-statistics-train", "Space")
    keys.at("mode=train")
    keys.on("chip-statistics-train")
    keys.tab(r"mate-digits:\d+")
    mates = keys.page.locator(".mate")
    second = str(mates.nth(1).get_attribute("data-ref"))
    keys.press("ArrowRight", "Enter")
    keys.at(f"mates={second}")
    keys.on(f"mate-{second}")
    expect(keys.page.locator(".mate[aria-pressed=true]")).to_have_attribute("data-ref", second)
    expect(keys.page.locator("#focus")).not_to_have_attribute("data-value", kept)
    keys.press("Space")
    expect(keys.page.locator(".mate[aria-pressed=true]")).to_have_count(0)
    keys.tab("chip-statistics-eval", back=True)
    keys.press("Enter")
    expect(keys.page.locator("#focus")).to_have_attribute("data-value", kept)
    keys.press("Escape")
    keys.level("channel")


def test_activation_and_add(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.relu&c=3&y=2&x=4").level("activation")
    keys.use("map-x", "End")
    keys.shows("stem.relu:3,2,7")
    keys.go(f"{PLACE}&layer=group1.0.sum&c=3&y=2&x=4").level("add")
    keys.use("map-sum", "ArrowUp")
    keys.shows("group1.0.sum:3,1,4")
    keys.use("to-shortcut", "Enter")
    keys.shows("stem.relu:3,1,4")
    keys.on("map-x")


def test_pool_and_dropout(keys: Keyboard) -> None:
    keys.go("#model=deep&img=digits:3&layer=blocks.0.pool&c=3&y=1&x=2").level("pool")
    keys.use("map-y", "ArrowLeft")
    keys.shows("blocks.0.pool:3,1,1")
    winner = re.findall(r"\d", keys.page.locator("#winner").inner_text())
    keys.use("source", "Enter")
    keys.shows(f"blocks.0.relu:3,{','.join(winner)}")
    keys.go("#model=deep&img=digits:3&layer=dropout&c=7").level("copy")
    keys.use("source", "Enter")
    keys.shows("relu:7")


def test_linear_and_flatten(keys: Keyboard) -> None:
    keys.go("#model=deep&img=digits:3&layer=linear1&c=7").level("linear")
    keys.use("terms-all", "Enter")
    expect(keys.page.locator("tr[id^=term-]")).to_have_count(128)
    keys.on("terms-all")
    keys.use("chip-terms-layer", "Enter")
    keys.use("term-0", "ArrowDown", "Enter")
    keys.shows("blocks.2.pool:1,0,0")
    keys.go(f"{PLACE}&layer=flatten&c=6").level("copy")
    keys.use("map-y", "ArrowRight")
    keys.shows("flatten:7")
    keys.use("source", "Enter")
    keys.shows("pool:7,0,0")


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


def test_input(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=input&c=0&y=3&x=4").level("input")
    keys.use("cell", "ArrowLeft", "ArrowUp")
    keys.shows("input:0,2,3")
    keys.on("cell")


def test_heatmap(keys: Keyboard) -> None:
    keys.go(f"{PLACE}&layer=stem.relu").level("layer")
    keys.use("view-heatmap", "Enter")
    level = keys.level("heatmap")
    keys.use("choose-method", "ArrowDown", "ArrowDown", "ArrowUp")
    keys.at("method=grad-cam%2B%2B")
    keys.on("choose-method")
    keys.use("choose-layer", "ArrowUp")
    keys.at("layer=group2.1.sum")
    keys.on("choose-layer")
    keys.use("choose-class", "4")
    keys.at("target=4")
    keys.use("fade", "Home", "ArrowRight", "ArrowRight")
    expect(level.locator(".overlay img + img")).to_have_css("opacity", "0.02")
    keys.go(f"{PLACE}&level=heatmap&layer=group2.1.relu&target=4&c=2&y=1&x=1")
    keys.shows("grad-cam:map:1,1")
    keys.use("stage-gradient", "ArrowLeft")
    keys.shows("grad-cam:map:1,0")
    cells = level.locator(".stages [data-cell]").evaluate_all("all => all.map((e) => e.dataset.cell)")
    assert [cell.split(":", 1)[1] for cell in cells] == [
        "activation:2:1,0", "gradient:2:1,0", "weight:2", "map:1,0", "relu:1,0", "heat:3,1",
    ]  # fmt: skip
    keys.use("stage-heat", "Home", "ArrowUp", "ArrowUp", "ArrowUp", "Enter")
    keys.shows("grad-cam:map:0,0")
    keys.use(r"channel-\d+", "Home", "ArrowDown")
    channel = keys.page.evaluate("document.activeElement.dataset.key")
    keys.press("Enter")
    keys.at(f"c={channel}")
    keys.on(f"channel-{channel}")
    keys.press("Escape")
    keys.level("graph")

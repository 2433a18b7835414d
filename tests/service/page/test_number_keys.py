"""The levels of one number by keyboard alone: arrows move it, Enter follows it, Escape goes up; the choices on them."""

import re

from playwright.sync_api import expect

from tests.service.page.keyboard import Keyboard

PLACE = "#model=digits&img=digits:3"
CONV = "group1.0.sum.branch.conv1"


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
    winner = re.findall(r"row (\d+), column (\d+)", keys.page.locator("#panel-window .note").inner_text())[0]
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

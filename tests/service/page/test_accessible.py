"""axe-core on every level, in both themes and on a phone; nothing wider than its window."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.service.page.reader import Reader

PLACES = {
    "graph": "",
    "layer": "&layer=stem.conv",
    "channel": "&layer=stem.conv&c=3",
    "pixel": "&layer=stem.conv&c=3&y=2&x=0",
    "norm": "&layer=stem.norm&c=3&y=2&x=0",
    "add": "&layer=group1.0.sum&c=3&y=2&x=0",
    "head": "&layer=head",
    "heatmap": "&level=heatmap",
    "backward": "&layer=stem.conv&c=3&y=2&x=0&level=backward",
}

WIDER = """() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
    [...document.querySelectorAll('main *, #top *, #trail *')].filter(e => e.getBoundingClientRect().right > innerWidth)
    .map(e => `${e.tagName}.${e.className}`)"""  # what makes the page wider than its window


def violations(reader: Reader) -> list[str]:
    """What axe-core calls serious or worse, with where."""
    found = Axe().run(reader.page).response["violations"]
    return [
        f"{rule['id']}: {[node['target'] for node in rule['nodes']]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"color_scheme": "dark", "reduced_motion": "reduce"}, id="dark"),
        pytest.param({"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}, id="phone"),
        pytest.param({"viewport": {"width": 1024, "height": 768}}, id="tablet", marks=pytest.mark.slow),
        pytest.param({}, id="light", marks=pytest.mark.slow),
    ],
)
def test_no_serious_violation(browser: Browser, site: str, options: dict[str, object]) -> None:
    reader = Reader(browser, site, **options)
    reader.go("#img=digits:5")
    for level, place in PLACES.items():
        reader.move(f"img=digits:5{place}")
        reader.level(level)
        reader.page.wait_for_timeout(250)  # faded in
        assert violations(reader) == [], level
        assert reader.page.evaluate(WIDER) == [], level
    reader.end()


def test_gallery_has_no_serious_violation(reader: Reader) -> None:
    reader.go("#img=digits:5").level("graph")
    reader.page.locator("#choose").click()
    expect(reader.page.locator("#pick-digits-5")).to_be_focused()
    assert violations(reader) == []


HEADLESS = """() => [...document.querySelectorAll('main table.terms')].flatMap(table => {
    const row = table.tBodies[0].rows[0];
    return [...table.tHead.rows[0].cells].map((head, n) => [head, row.cells[n]])
    .filter(([, cell]) => cell.innerText.trim() && cell.offsetParent)
    .filter(([head, cell]) => !head.offsetParent
        || Math.abs(head.getBoundingClientRect().right - cell.getBoundingClientRect().right) > 1)
    .map(([, cell]) => cell.innerText); })"""  # cells with text that have no header right above


def test_every_column_has_its_header_on_a_phone(browser: Browser, site: str) -> None:
    reader = Reader(browser, site, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    reader.go("#img=digits:5")
    heads = {
        "pixel": ["adds", "so far"],
        "norm": ["running (eval)", "batch (train)"],
        "head": ["logit z", "probability", "value", "weight", "product"],
        "backward": ["gradient there", "product"],
    }
    for level, names in heads.items():
        reader.move(f"img=digits:5{PLACES[level]}")
        shown = reader.level(level).locator(".terms thead")
        for name in names:
            expect(shown.get_by_text(name, exact=True).first).to_be_visible()
        assert reader.page.evaluate(HEADLESS) == [], level
    reader.end()


def test_touch_targets(browser: Browser, site: str) -> None:
    reader = Reader(browser, site, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    reader.go("#img=digits:5")
    for level in ("channel", "pixel", "norm"):
        reader.move(f"img=digits:5{PLACES[level]}")
        reader.level(level)
        small = reader.page.evaluate(
            """() => [...document.querySelectorAll('button, select, input, #trail a, .slice, .ways td:not(.outside)')]
            .filter(e => e.offsetParent).map(e => [e.id || e.className, e.getBoundingClientRect()])
            .filter(([, b]) => b.width < 44 || b.height < 44).map(([name, b]) => `${name} ${b.width}×${b.height}`)"""
        )
        assert small == [], level
    reader.end()


def test_the_network_stays_within_the_page(reader: Reader) -> None:
    reader.go("#img=digits:5").level("graph")
    right = "name => document.querySelector(name).getBoundingClientRect().right"
    for width in (390, 700, 760, 900, 980, 1010, 1024, 1100, 1170, 1240, 1260, 1300, 1340, 1440):
        reader.page.set_viewport_size({"width": width, "height": 700})
        assert reader.page.evaluate(right, ".graph") <= reader.page.evaluate(right, "#main") + 0.5, width

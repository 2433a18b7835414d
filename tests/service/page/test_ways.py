"""Ways on the page: down to the byte from every level, up to where one came from, and on after a wrong turn."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from convscope.runs import Run
from tests.service.conftest import Service
from tests.service.page.reader import Reader

LED = """([address, id]) => !document.querySelector('[data-old]')
    || (location.hash === address && document.activeElement.id !== id)"""


def press_enter(reader: Reader) -> None:
    """Go where Enter leads: to another level, or on in this one."""
    page = reader.page
    page.locator("main .level").evaluate("level => level.setAttribute('data-old', '')")
    before = page.evaluate("() => [location.hash, document.activeElement.id]")
    reader.press("Enter")
    page.wait_for_function(LED, arg=before)
    page.locator("main .level").evaluate("level => level.removeAttribute('data-old')")


@pytest.mark.parametrize(
    ("place", "levels"),
    [
        ("digits&layer=head", {"head", "pool", "activation", "add", "norm", "pixel"}),
        ("digits&layer=stem.relu&c=1&y=3&x=4", {"activation", "norm", "pixel", "input"}),
        ("deep&layer=linear1&c=3", {"linear", "pool", "activation"}),
    ],
)
def test_enter_alone_leads_down(reader: Reader, place: str, levels: set[str]) -> None:
    reader.go(f"#img=digits:5&model={place}")
    seen = set()
    for _ in range(10):
        seen.add((reader.page.locator("main .level").get_attribute("class") or "").rpartition("level-")[2])
        if seen >= levels:
            return
        press_enter(reader)
    raise AssertionError(f"Enter led through {seen}")


@pytest.mark.parametrize(
    ("place", "leads"),
    [
        ("layer=stem.norm&c=1&y=3&x=4&mode=train", ("layer=stem.conv", "c=1", "y=3", "x=4")),
        ("layer=stem.relu&c=1&y=3&x=4", ("layer=stem.norm", "c=1", "y=3", "x=4")),
        ("layer=flatten&c=7", ("layer=pool", "c=7", "y=0", "x=0")),
    ],
)
def test_a_number_leads_to_the_one_before_it(reader: Reader, place: str, leads: tuple[str, ...]) -> None:
    reader.go(f"#img=digits:5&{place}").page.locator("#source").click()
    reader.at(*leads)
    assert "mode=" not in reader.page.url  # what lies below is not of the batch


def test_a_mean_leads_to_what_weighs_most_in_it(reader: Reader) -> None:
    reader.go("#img=digits:5&layer=pool&c=7&y=0&x=0").page.locator("#source").click()
    answer = httpx.get(
        f"{reader.address}/v1/trace/digits/output",
        params={"img": "digits:5", "node": "group2.1.relu"},
        trust_env=False,
    )
    window = np.frombuffer(answer.content, np.float32).reshape([int(n) for n in answer.headers["x-shape"].split(",")])[
        7
    ]
    y, x = np.unravel_index(np.abs(window).argmax(), window.shape)
    reader.at("layer=group2.1.relu", "c=7", f"y={y}", f"x={x}")


def test_up_leads_to_what_one_came_from(reader: Reader) -> None:
    reader.go("#img=digits:5&layer=stem.norm&c=5&y=6&x=1").level("norm")
    reader.press("Escape")
    reader.level("channel")
    expect(reader.page.locator("#cell")).to_have_attribute("aria-label", re.compile("^row 6, column 1:"))
    expect(reader.page.locator("#cell")).to_be_focused()
    reader.press("Escape")
    expect(reader.page.locator("#channel-5")).to_be_focused()
    reader.press("Escape")
    expect(reader.page.locator("[id='node-stem.norm']")).to_be_focused()
    reader.press("Enter")
    reader.at("layer=stem.norm")


@pytest.mark.parametrize(
    ("place", "key", "leads"),
    [("", "ArrowDown", "node-stem.conv"), ("&layer=stem.conv", "ArrowRight", "channel-1"), ("", "Enter", "channel-0")],
)
def test_the_first_key_on_a_fresh_page_is_heard(reader: Reader, place: str, key: str, leads: str) -> None:
    reader.go(f"#img=digits:5{place}")
    assert reader.page.evaluate("document.activeElement === document.body")
    reader.press(key)
    expect(reader.page.locator(f"[id='{leads}']")).to_be_focused()


def test_a_model_that_there_is_not(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/#model=nope&layer=stem.conv")
    expect(reader.page.get_by_role("alert")).to_contain_text("no model 'nope'; it has digits, deep, cifar10-94")
    assert reader.page.locator("#rail *, #trail *, #export").count() == 0
    reader.page.locator("#model").select_option("digits")
    expect(reader.level("graph").locator("tr.node")).to_have_count(37)
    expect(reader.page.locator("#rail .verdict")).to_be_visible()
    reader.move("model=nope")
    expect(reader.page.get_by_role("alert")).to_contain_text("no model 'nope'")
    assert reader.page.locator("#rail *").count() == 0
    reader.page.locator(".wordmark").click()
    reader.level("graph")
    expect(reader.page.locator("#rail .verdict")).to_be_visible()  # of the same picture as before


def test_a_layer_that_there_is_not_leaves_a_link(reader: Reader) -> None:
    reader.page.goto(f"{reader.address}/#img=digits:5&layer=blah")
    expect(reader.page.get_by_role("alert")).to_contain_text("no layer 'blah' in digits")
    expect(reader.page.locator("#model")).to_be_visible()
    reader.page.locator("#trail a").click()
    expect(reader.level("graph").locator("tr.node")).to_have_count(37)


def test_a_saved_walk_is_said_to_be(reader: Reader, tmp_path: Path) -> None:
    reader.page.clock.install()
    reader.go("#img=digits:5&layer=stem.conv&c=3&y=2&x=0")
    with reader.page.expect_download() as download:
        reader.page.locator("#export").click()
    download.value.save_as(tmp_path / "walk.html")
    size = (tmp_path / "walk.html").stat().st_size / 1e6
    said = reader.page.locator("#live")
    expect(said).to_have_text(f"saved {download.value.suggested_filename}, {size:.1f} MB")
    box = said.bounding_box()
    assert box
    assert box["width"] > 200
    assert box["height"] > 20
    reader.page.clock.run_for(9000)
    expect(said).to_have_css("width", "1px")  # seen no longer


@pytest.fixture
def restarted(
    run_service: Callable[..., Service], browser: Browser, digits_run: Run
) -> Iterator[tuple[Reader, Service, Callable[[], Service]]]:
    """Someone at the page of a service that ends, and comes back at the same address."""
    service = run_service(digits_run.path)
    reader = Reader(browser, service.url)
    reader.allowed = "ERR_CONNECTION_REFUSED"
    yield reader, service, lambda: run_service(digits_run.path, "--port", service.address[1])
    reader.end()


@pytest.mark.slow
def test_on_with_a_server_that_was_away(restarted: tuple[Reader, Service, Callable[[], Service]]) -> None:
    reader, service, start = restarted
    reader.go("#img=digits:5&layer=stem.relu&c=1").level("channel")
    mistakes = reader.page.locator("#next-mistake")
    service.end()
    mistakes.click()
    expect(reader.page.locator("#live")).to_contain_text("the server does not answer")
    expect(mistakes).to_have_text("next mistake ›")
    reader.page.locator("#cell").focus()
    reader.press("Enter")  # to a module that the page has not got yet
    gone = reader.page.get_by_role("alert")
    expect(gone).to_have_text("the server does not answer; start `convscope serve` again, then go on")
    again = reader.page.get_by_role("button", name="Go on")
    again.click()
    expect(gone).to_be_visible()
    start()
    again.click()
    expect(reader.level("activation").locator("#focus")).to_have_attribute("data-cell", re.compile("^stem.relu:1,"))
    expect(reader.page.locator("#rail .verdict")).to_be_visible()
    mistakes.click()
    expect(reader.page).not_to_have_url(re.compile("img=digits:5&"))

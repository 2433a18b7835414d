"""Pictures by paste and camera, the network's mistakes one after the other, a second checkpoint beside the first."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, expect

from convscope.data import load
from convscope.runs import Run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader
from tests.service.page.test_pictures import digit_file

UPLOADED = "img=up:"


def test_a_pasted_picture_is_what_the_network_sees(reader: Reader, digits_run: Run) -> None:
    reader.go("#img=digits:0").level("graph")
    reader.page.evaluate(
        """data => { const pasted = new DataTransfer();
        pasted.items.add(new File([new Uint8Array(data)], 'seven.png', {type: 'image/png'}));
        const how = {clipboardData: pasted, bubbles: true, cancelable: true};
        document.dispatchEvent(new ClipboardEvent('paste', how)); }""",
        list(digit_file()),
    )
    reader.page.wait_for_url(f"**#*{UPLOADED}*")
    found = digits_run.probabilities(load("digits")[1].images[7:8])[0]
    expect(reader.page.locator(".verdict").first).to_contain_text(digits_run.classes[int(found.argmax())])


def test_the_camera_takes_a_picture_and_goes_off(reader: Reader) -> None:
    reader.go("#img=digits:0").level("graph")
    reader.page.locator("#choose").click()
    reader.page.locator("#camera").click()
    video = reader.page.locator("dialog video")
    expect(video).to_be_visible()
    expect(video).not_to_have_js_property("videoWidth", 0)
    track = reader.page.evaluate_handle("document.querySelector('video').srcObject.getTracks()[0]")
    reader.page.locator("#shot").click()
    reader.page.wait_for_url(f"**#*{UPLOADED}*")
    assert track.evaluate("track => track.readyState") == "ended"


@pytest.fixture
def flawed(digits_run: Run) -> Run:
    """The digits network, its head turned about so that it mistakes nearly all of them."""
    model = copy.deepcopy(digits_run.model)
    model.get_submodule("head").weight.data.neg_()
    return replace(digits_run, model=model)


def test_mistakes_one_after_the_other(browser: Browser, flawed: Run) -> None:
    test = load("digits")[1]
    wrong = np.flatnonzero(flawed.probabilities(test.images).argmax(axis=1) != test.labels)
    assert len(wrong) > 210  # more than the page asks for at once
    with Here(Settings(), Models([Served("digits", "0" * 64, flawed)])) as here:
        reader = Reader(browser, str(here.client.base_url))
        reader.go(f"#img=test:{wrong[203]}")
        for expected in wrong[204:206]:
            reader.page.get_by_text("next mistake").click()
            reader.at(f"img=test:{expected}")
        expect(reader.page.locator("#rail")).to_contain_text("mistaken")
        reader.move(f"img=test:{wrong[-1]}")
        reader.page.get_by_text("next mistake").click()
        reader.at(f"img=test:{wrong[0]}")  # round again
        reader.page.locator("#choose").click()
        reader.page.locator("#mistakes").check()
        expect(reader.page.locator(".pick")).to_have_count(min(48, len(wrong)))
        shown = reader.page.locator(".pick").evaluate_all("all => all.map((pick) => pick.dataset.ref)")
        assert shown == [f"test:{index}" for index in wrong[:48]]
        reader.end()


def test_a_second_checkpoint_beside_the_first(browser: Browser, digits_run: Run, flawed: Run) -> None:
    other = copy.deepcopy(flawed.model)
    other.get_submodule("stem.conv").weight.data.mul_(-2)
    beside = replace(digits_run, model=other)
    x = digits_run.preprocess(load("digits")[1].images[5:6])
    with torch.inference_mode():
        value = other.get_submodule("stem.conv")(x)[0, 3, 2, 1].item()
        says = digits_run.classes[int(other(x).argmax())]
    served = [Served("digits", "0" * 64, digits_run), Served("other", "1" * 64, beside)]
    with Here(Settings(), Models(served)) as here:
        reader = Reader(browser, str(here.client.base_url))
        reader.go("#img=test:5&layer=stem.conv&c=3&y=2&x=1")
        reader.page.locator("#compare").select_option("other")
        reader.at("compare=other")
        compared = reader.level("pixel").locator("#compared-value")
        assert float(compared.get_attribute("data-value") or "nan") == pytest.approx(value, rel=1e-6)
        expect(reader.page.locator("#compared")).to_contain_text(says)
        reader.end()

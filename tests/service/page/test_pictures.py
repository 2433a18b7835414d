"""The choice of a picture, and editing a kernel: what one does reaches the model and comes back."""

import io
import re
from typing import Any

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import expect

from convscope.data import load
from convscope.runs import Run
from tests.service.page.reader import Reader


def digit_file() -> bytes:
    """A real test digit as a PNG."""
    file = io.BytesIO()
    Image.fromarray(load("digits")[1].images[7, 0]).save(file, "png")
    return file.getvalue()


def test_gallery_by_keyboard(reader: Reader) -> None:
    reader.go("#img=digits:0").level("graph")
    reader.press("g")
    expect(reader.page.locator(".pick").first).to_be_focused()
    reader.press("ArrowRight", "ArrowRight", "Enter")
    reader.at("img=digits:2")
    expect(reader.page.locator("dialog")).to_have_count(0)


def test_upload_is_what_the_network_sees(reader: Reader, digits_run: Run) -> None:
    reader.go("#img=digits:0").level("graph")
    reader.page.locator("#choose").click()
    reader.page.locator("#file").set_input_files({"name": "seven.png", "mimeType": "image/png", "buffer": digit_file()})
    expect(reader.page).to_have_url(re.compile("img=up:"))
    images = torch.from_numpy(load("digits")[1].images[7:8])
    with torch.inference_mode():
        expected = digits_run.classes[int(digits_run.model(digits_run.preprocess(images)).argmax())]
    expect(reader.page.locator(".verdict").first).to_contain_text(expected)


def test_picture_dropped_on_the_page(reader: Reader) -> None:
    reader.go("#img=digits:0").level("graph")
    data = list(digit_file())
    reader.page.evaluate(
        """data => { const moved = new DataTransfer();
        moved.items.add(new File([new Uint8Array(data)], 'seven.png', {type: 'image/png'}));
        document.dispatchEvent(new DragEvent('drop', {dataTransfer: moved, bubbles: true, cancelable: true})); }""",
        data,
    )
    expect(reader.page).to_have_url(re.compile("img=up:"))


def test_drawing(reader: Reader) -> None:
    reader.go("#img=digits:0").level("graph")
    reader.page.locator("#choose").click()
    reader.page.locator("#draw").click()
    box: Any = reader.page.locator(".drawing").bounding_box()
    reader.page.mouse.move(box["x"] + 140, box["y"] + 40)
    reader.page.mouse.down()
    reader.page.mouse.move(box["x"] + 140, box["y"] + 240, steps=8)
    reader.page.mouse.up()
    reader.page.locator("#drawn").click()
    expect(reader.page).to_have_url(re.compile("img=up:"))


def test_edited_kernel_is_that_of_the_model_with_it(reader: Reader, digits_run: Run) -> None:
    level = reader.go("#img=digits:5&layer=stem.conv&c=3").level("channel")
    cell = level.locator("#cell")
    before = cell.get_attribute("data-value")
    level.locator(".inputs input").nth(4).fill("1.5")  # the middle of the only slice
    expect(cell).not_to_have_attribute("data-value", str(before), timeout=400)  # at once, computed in the browser
    reader.at("edits=stem.conv:weight:31:1.5")  # channel 3, 9 weights each
    expect(reader.page.locator(".edited")).to_contain_text("1 weight is edited")

    images = torch.from_numpy(np.concatenate([part.images for part in load("digits")]))  # whichever digit it is
    x = digits_run.preprocess(images)
    conv = digits_run.model.get_submodule("stem.conv")
    weight = conv.get_parameter("weight").detach().clone()
    weight[3, 0, 1, 1] = 1.5
    with torch.inference_mode():
        maps = torch.nn.functional.conv2d(x, weight, padding=1)[:, 3, 4, 4]
    shown = float(reader.page.locator("#cell").get_attribute("data-value") or "nan")
    assert (maps - shown).abs().min() < 1e-6

    reader.page.locator("#edits-reset").click()
    expect(reader.page.locator("#cell")).to_have_attribute("data-value", str(before))


def test_forgotten_upload_says_so(reader: Reader) -> None:
    reader.allowed = "404"
    reader.go("#img=digits:0")
    reader.move("img=up:0123456789abcdef")
    expect(reader.page.get_by_role("alert").first).to_contain_text("up:0123456789abcdef")

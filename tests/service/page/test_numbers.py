"""Random numbers of random layers: the page says what PyTorch computes, and its own sum agrees within its bound."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, expect
from torch import Tensor

from convscope import load_run, train
from convscope.data import load
from convscope.runs import Run
from convscope.service.models import Models, Served
from convscope.service.settings import Settings
from tests.service.conftest import Here
from tests.service.page.reader import Reader


def activations(run: Run, picture: Tensor) -> dict[str, Tensor]:
    """What every module gives for one picture, by name; the residual sums are modules as well."""
    found: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, name=name: found.update({name: output[0].clone()}))
        for name, module in run.model.named_modules()
        if name
    ]
    with torch.no_grad():
        x = run.preprocess(picture)
        run.model(x)
    for handle in handles:
        handle.remove()
    return found | {"input": x[0]}


def read(reader: Reader, cell: str) -> tuple[float, float, float]:
    """The value, the sum and the bound of the focused cell, once it is this one."""
    focus = reader.page.locator("[data-cell][data-sum]").first
    expect(focus).to_have_attribute("data-cell", cell)
    value, again, bound = (float(focus.get_attribute(f"data-{name}") or "nan") for name in ("value", "sum", "bound"))
    return value, again, bound


def check(reader: Reader, run: Run, name: str, ref: str, picture: Tensor, count: int, seed: int) -> None:
    """Open `count` random places one after the other."""
    chance = random.Random(seed)
    found = activations(run, picture)
    reader.go(f"#img={ref}").level("graph")
    graph: Any = reader.page.evaluate(
        "async () => (await fetch(`/v1/trace/${document.querySelector('#model').value}`)).json()"
    )
    for _ in range(count):
        node = chance.choice(graph["nodes"])
        place = [chance.randrange(size) for size in node["shape"]]
        named = "".join(f"&{axis}={at}" for axis, at in zip("cyx", place, strict=False))
        reader.move(f"img={ref}&layer={node['id']}{named}")
        value, again, bound = read(reader, f"{node['id']}:{','.join(map(str, place))}")
        expected = float(found[node["layer"]][tuple(place)])
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-7), (node["id"], place)
        assert abs(again - value) <= bound <= 5e-3 * max(1, abs(again)), (node["id"], place)


def test_a_dozen_numbers_of_the_digits_network(reader: Reader, digits_run: Run) -> None:
    check(reader, digits_run, "digits", "test:3", torch.from_numpy(load("digits")[1].images[3:4]), 12, seed=0)


def test_the_printed_digits_of_a_pixel_give_the_printed_result(reader: Reader) -> None:
    picture = "model=cifar10-94&img=digits:5"
    reader.go(f"#{picture}")
    chance = random.Random(2)
    for _ in range(12):
        c, y, x = chance.randrange(3), chance.randrange(8, 24), chance.randrange(8, 24)
        reader.move(f"{picture}&layer=input&c={c}&y={y}&x={x}")
        read(reader, f"input:{c},{y},{x}")
        terms = reader.page.locator(".formula b").all_inner_texts()
        byte, mean, std = (float(text.replace("−", "-")) for text in terms[:3])
        assert f"{(byte / 255 - mean) / std:.4f}" == terms[3].replace("−", "-"), (terms, c, y, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-resnet", "lenet5", "deep-cnn"])
def test_two_hundred_numbers(name: str, browser: Browser, tmp_path: Path, data_dir: Path) -> None:
    if name == "tiny-resnet":
        run, (_, test) = load_run("cifar10-94"), load("cifar10", data_dir)
    else:
        trained = train(f"mnist-{name}", out=tmp_path / name, data_dir=data_dir, data__subset=500, train__epochs=1)
        run, (_, test) = load_run(trained.path), load("mnist", data_dir)
    with Here(Settings(), Models([Served(name, "0" * 64, run)])) as here:
        reader = Reader(browser, str(here.client.base_url))
        check(reader, run, name, "test:3", torch.from_numpy(test.images[3:4]), 200, seed=1)
        reader.end()

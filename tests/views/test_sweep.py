"""`explain --sweep` on trained networks: every method and layer is there, once, with its map or the reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data import load
from convscope.errors import UsageError
from convscope.explain import METHODS, display_size, explain, overlay
from convscope.runs import Run, load_run
from convscope.runs.canvas import HEADER, MARGIN, SCALE, enlarge
from convscope.runs.sweep import INPUT
from convscope.views import choose_picture, sweep_picture


def test_every_method_and_every_layer(copied_run: Run) -> None:
    picture = choose_picture(copied_run, None, 3, None)
    values = sweep_picture(copied_run, picture)
    _, test = load("digits")
    probabilities = copied_run.probabilities(test.images[3:4])[0]
    assert values["target"] == probabilities.argmax()
    assert values["probability"] == pytest.approx(probabilities.max())
    assert (values["layer"], values["true"]) == ("group2.1.relu", str(test.labels[3]))
    tiles = values["tiles"]
    assert [tile["method"] for tile in tiles[: len(METHODS)]] == list(METHODS)
    layers = tiles[len(METHODS) :]
    assert {tile["method"] for tile in layers} == {"grad-cam"}
    assert layers[0]["layer"] == "stem.conv"
    assert layers[-1]["layer"] == "group2.1.relu"  # what is behind is 1×1
    assert "group1.0.sum" in [tile["layer"] for tile in layers]
    assert all((tile["evidence"] is None) == (tile["problem"] is not None) for tile in tiles)
    for tile in tiles:
        if tile["problem"] is None:
            layer = None if tile["layer"] == "input" else tile["layer"]
            found = explain(copied_run.model, copied_run.preprocess(test.images[3:4]), None, layer, tile["method"])
            assert found.evidence[0] == tile["evidence"]
    assert Path(values["png"]).name == f"test-3-sweep-grad-cam-{values['label']}-group2.1.relu.png"


def test_the_page_shows_the_maps_in_their_order(digits_run: Run, tmp_path: Path) -> None:
    picture = choose_picture(digits_run, None, 8, None)
    values = sweep_picture(digits_run, picture, "layer-cam", "4", "group1.1.relu", tmp_path / "s.png")
    assert (values["label"], values["method"], values["layer"]) == ("4", "layer-cam", "group1.1.relu")
    with Image.open(values["png"]) as opened:
        drawn = np.asarray(opened.convert("RGB")).astype(int)
    layered = [tile for tile in values["tiles"][: len(METHODS)] if tile["layer"] != "input"]
    assert len(layered) == 10
    x = digits_run.preprocess(picture.pixels[None])
    for column, tile in enumerate(layered):
        if tile["method"] == "cam":  # a whole group lies behind this layer
            assert tile["problem"] == "needs average pooling and one linear layer behind"
            continue
        heat = explain(digits_run.model, x, 4, "group1.1.relu", tile["method"]).heatmaps(display_size(8, 8))[0]
        expected = enlarge(overlay(picture.pixels, heat), 80 * SCALE).astype(int)
        top, left = (HEADER + INPUT + 46) * SCALE, (MARGIN + column * 90) * SCALE
        found = drawn[top : top + 160, left : left + 160]
        assert np.abs(found - expected)[3:-3, 3:-3].mean() < 3


def test_a_network_that_cannot_have_every_method(data_dir: Path, tmp_path: Path) -> None:
    run = load_run("cifar10-94")  # GELU and max pooling
    values = sweep_picture(run, choose_picture(run, None, 0, data_dir), out=tmp_path / "s.png")
    problems = {tile["method"]: tile["problem"] for tile in values["tiles"][: len(METHODS)] if tile["problem"]}
    assert problems["guided-backprop"] == problems["guided-grad-cam"] == "needs ReLU, not gelu"
    assert problems["cam"] == "needs average pooling and one linear layer behind"


def test_refusals(digits_run: Run, tmp_path: Path) -> None:
    picture = choose_picture(digits_run, None, 0, None)
    with pytest.raises(UsageError, match="occlusion explains the picture's own pixels"):
        sweep_picture(digits_run, picture, "occlusion")
    with pytest.raises(UsageError, match=r"a name that ends in \.png"):
        sweep_picture(digits_run, picture, out=tmp_path / "s.jpg")

"""Heatmaps of every method: those of `explain`, and every cell of Grad-CAM from the numbers that the API gives."""

import io
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from PIL import Image

from convscope.data import load
from convscope.errors import UsageError
from convscope.explain import display_size, explain, overlay
from convscope.registry import METHODS
from convscope.runs import Run
from convscope.service.trace.tracer import Tracer

U = 2.0**-24
WEIGHED = {"grad-cam", "grad-cam++", "x-grad-cam", "score-cam", "ablation-cam", "cam"}


@pytest.fixture(scope="module")
def traced(digits_run: Run, tracer_of: Callable[[Run], Tracer]) -> Tracer:
    return tracer_of(digits_run)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_what_explain_gives(traced: Tracer, method: str) -> None:
    x = traced.x([traced.gallery.picture("test:3")])
    layer = None if METHODS.load(method).__dict__.get("of_input") else "group2.1.relu"
    found = traced.heat("test:3", method, layer, 6).as_json()
    expected = explain(traced.run.model, x, 6, layer, method)
    assert np.array_equal(np.float32(found["map"]).reshape(found["shape"]), expected.maps[0])
    assert np.array_equal(np.float32(found["heat"]).reshape(8, 8), expected.heatmaps((8, 8))[0])
    assert (found["layer"], found["target"], found["evidence"]) == (expected.layer, 6, expected.evidence[0])
    assert (found["weights"] is not None) == (method in WEIGHED)
    if found["weights"] is not None:
        activation = traced.passed("test:3").outputs["group2.1.relu"].astype(np.float64)
        terms = np.float64(found["weights"])[:, None, None] * activation
        bound = (len(terms) + 2) * U * abs(terms).sum(axis=0)  # of which a sum this small was set to zero
        assert (abs(np.reshape(found["map"], found["shape"]) - terms.sum(axis=0)) <= 1.01 * bound).all()


def test_every_cell_of_grad_cam(traced: Tracer) -> None:
    default = traced.heat("test:3", "grad-cam", None, None).as_json()
    assert default["layer"] == traced.run.model.cam_layer
    assert default["target"] == traced.answer("test:3", ())["index"]
    layer = "group1.0.sum.branch.norm2"  # of both signs, so that its map has both
    heat = traced.heat("test:3", "grad-cam", layer, 6).as_json()
    activation = traced.passed("test:3").outputs[layer].astype(np.float64)
    gradient = traced.gradients("test:3", heat["target"]).outputs[layer].astype(np.float64)
    n = gradient[0].size
    weights = gradient.mean(axis=(1, 2))
    assert (abs(heat["weights"] - weights) <= (n + 1) * U * abs(gradient).mean(axis=(1, 2)) + 1e-6 * abs(weights)).all()
    summed = (np.float64(heat["weights"])[:, None, None] * activation).sum(axis=0)
    assert np.allclose(heat["map"], summed.ravel(), rtol=1e-4, atol=1e-6)
    positive = np.maximum(np.reshape(heat["map"], heat["shape"]), 0)
    up = bilinear(positive / positive.max(), 8, 8)
    assert np.allclose(np.reshape(heat["heat"], (8, 8)), up / up.max(), atol=1e-6)
    assert 0 < (positive > 0).mean() < 1


def bilinear(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """A value stands for the centre of its cell; beyond the outermost centres it stays the same."""
    lines = []
    for size, new in zip(cells.shape, (height, width), strict=True):
        at = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, size - 1)
        line = np.zeros((new, size))
        np.add.at(line, (np.arange(new), low), 1 - (at - low))
        np.add.at(line, (np.arange(new), high), at - low)
        lines.append(line)
    return lines[0] @ cells @ lines[1].T


def test_the_overlay_is_that_of_explain(client: httpx.Client, digits_run: Run) -> None:
    query = {"img": "test:3", "method": "layer-cam", "layer": "stem.relu", "target": 2, "alpha": 0.5}
    answer = client.get("/digits/heatmap.png", params=query)
    assert answer.headers["content-type"] == "image/png"
    found = np.asarray(Image.open(io.BytesIO(answer.content)))
    pixels = load("digits")[1].images[3]
    heat = explain(digits_run.model, digits_run.preprocess(pixels[None]), 2, "stem.relu", "layer-cam")
    assert np.array_equal(found, overlay(pixels, heat.heatmaps(display_size(8, 8))[0], 0.5))


def test_a_function_is_no_layer_to_explain(traced: Tracer) -> None:
    with pytest.raises(UsageError, match="no layer 'input'"):
        traced.heat("test:3", "grad-cam", "input", None)


def test_the_heat_of_an_edited_network(traced: Tracer) -> None:
    """Grad-CAM of a network that ends in mean pooling is linear in the head's weights."""
    head, layer = traced.tensor("head", "weight"), "group2.1.relu"
    edits = ",".join(f"head:weight:{6 * head.shape[1] + k}:{2 * head[6, k]}" for k in range(head.shape[1]))
    plain = traced.heat("test:3", "grad-cam", layer, 6).as_json()
    doubled = traced.heat("test:3", "grad-cam", layer, 6, traced.edits(edits)).as_json()
    assert np.allclose(doubled["map"], np.multiply(2, plain["map"]), rtol=1e-5, atol=1e-6)
    assert traced.heat("test:3", "grad-cam", layer, 6).as_json() == plain

"""The replay agrees for every model, and notices one perturbed weight, naming the layer."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.convert import to_numpy
from convscope.data import load
from convscope.errors import UsageError
from convscope.models import MODELS, build_model
from convscope.proof import TOLERANCE, prove
from convscope.runs import Run


def test_a_trained_network_replays_to_rounding(digits_run: Run) -> None:
    _, test = load("digits")
    proof = prove(digits_run, test.images)  # several batches, the last one short
    assert proof.ok
    assert proof.images == len(test)
    assert 0 < proof.max_abs_diff < 1e-3
    names = [layer.name for layer in proof.layers]
    assert names[:3] == ["stem.conv", "stem.norm", "stem.relu"]
    assert "group2.0.sum.shortcut.conv" in names
    assert names[-1] == "head"
    assert proof.layers[-1].scale == pytest.approx(float(np.abs(digits_run.logits(test.images)).max()), rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_any_of_our_models(name: str, digits_run: Run) -> None:
    torch.manual_seed(0)
    model = build_model(name, (3, 18, 21), 6).eval()
    checkpoint = digits_run.checkpoint | {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    run = Run(Path("nowhere"), checkpoint, model)
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 18, 21)).astype(np.uint8)
    proof = prove(run, images)
    assert proof.ok
    assert len(proof.layers) >= len([m for m in model.modules() if not list(m.children())])


@pytest.mark.parametrize("layer", ["stem.conv", "group2.0.sum.branch.norm2", "head"])
def test_one_perturbed_weight_is_found_and_named(digits_run: Run, layer: str) -> None:
    _, test = load("digits")
    network = to_numpy(digits_run.model)
    named = {child.name: child for child in leaves(network)}
    named[layer].params["weight"].flat[0] += 0.1
    proof = prove(digits_run, test.images[:100], network)
    assert not proof.ok
    assert next(d.name for d in proof.layers if not d.ok) == layer


@pytest.mark.parametrize(("relative", "agrees"), [(1e-6, True), (5e-5, True), (2e-4, False)])
def test_tolerance_is_a_ten_thousandth_of_the_scale_of_a_layer(digits_run: Run, relative: float, agrees: bool) -> None:
    images = load("digits")[1].images[:100]
    network = to_numpy(digits_run.model)
    scale = prove(digits_run, images).layers[-1].scale
    head = next(child for child in leaves(network) if child.name == "head")
    head.params["bias"] += np.float32(relative * scale)  # all logits alike, so that no prediction changes
    proof = prove(digits_run, images, network)
    assert proof.same_predictions
    assert [layer.name for layer in proof.layers if not layer.ok] == ([] if agrees else ["head"])
    assert proof.ok is agrees


def test_another_prediction_is_no_proof_however_close_the_numbers(digits_run: Run) -> None:
    """Two classes with the same weights, told apart by a bias far below tolerance, and the other way round in NumPy."""
    images = load("digits")[1].images[:100]
    a, b = 3, 4
    model = copy.deepcopy(digits_run.model)
    small = 1e-5 * float(np.abs(digits_run.logits(images)).max())
    with torch.no_grad():
        model.head.weight[b] = model.head.weight[a]
        model.head.bias[b] = model.head.bias[a] - small
    run = Run(digits_run.path, digits_run.checkpoint, model)
    network = to_numpy(model)
    next(child for child in leaves(network) if child.name == "head").params["bias"][b] += np.float32(2 * small)
    predicted = run.logits(images).argmax(axis=1)
    assert 0 < (predicted == a).sum() < 64  # they come first, so that the second batch agrees altogether
    proof = prove(run, images[np.argsort(predicted != a, kind="stable")], network)
    assert all(layer.ok for layer in proof.layers)
    assert not proof.same_predictions
    assert not proof.ok


def test_a_nan_is_no_agreement(digits_run: Run) -> None:
    network = to_numpy(digits_run.model)
    next(child for child in leaves(network) if child.name == "head").params["bias"][3] = np.nan
    assert not prove(digits_run, np.zeros((2, 1, 8, 8), np.uint8), network).ok


def test_proving_leaves_the_run_alone(digits_run: Run) -> None:
    before = {name: value.clone() for name, value in digits_run.model.state_dict().items()}
    prove(digits_run, np.zeros((2, 1, 8, 8), np.uint8))
    assert all(torch.equal(value, before[name]) for name, value in digits_run.model.state_dict().items())
    assert not any(m._forward_hooks or m.training for m in digits_run.model.modules())


def test_no_pictures_no_proof(digits_run: Run) -> None:
    with pytest.raises(UsageError, match="at least one picture"):
        prove(digits_run, np.zeros((0, 1, 8, 8), np.uint8))
    assert 0 < TOLERANCE <= 1e-4


def leaves(layer):  # type: ignore[no-untyped-def]
    """Every layer of a NumPy network that holds no other."""
    inner = [*getattr(layer, "layers", ()), getattr(layer, "branch", None), getattr(layer, "shortcut", None)]
    children = [child for child in inner if child is not None]
    return [leaf for child in children for leaf in leaves(child)] if children else [layer]

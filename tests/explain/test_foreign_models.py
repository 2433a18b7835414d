"""A ResNet that a user wrote: every method, at a layer that is named and at the one that is found."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain import METHODS, explain
from convscope.explain.methods import INPUT, is_of_input

OF_LAYERS = [name for name in METHODS if not is_of_input(METHODS.load(name))]
TARGETS = [4, 0, 2]


def second_block(model, x):
    """`layer2` up to its second BatchNorm, and its shortcut: what the block adds up."""
    with torch.no_grad():
        x = model.layer1(F.relu(model.bn1(model.conv1(x))))
        block = model.layer2
        return block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x))))), block.shortcut(x)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_layer_the_last_block_is_found_and_train_mode_does_not_matter(make, pictures, method):
    found = explain(make("resnet"), pictures(3), TARGETS, method=method)
    assert found.layer == ("layer2" if method in OF_LAYERS else INPUT)
    in_pixels = method not in OF_LAYERS or method == "guided-grad-cam"
    assert found.maps.shape == ((3, 10, 14) if in_pixels else (3, 5, 7))
    evaluated = explain(make("resnet").eval(), pictures(3), TARGETS, method=method)
    np.testing.assert_array_equal(found.maps, evaluated.maps)
    spread = found.maps.max(axis=(1, 2)) - found.maps.min(axis=(1, 2))
    assert (spread > 0).all(), "a map that is the same everywhere points nowhere"


def test_behind_the_last_block_grad_cam_is_classic_cam(make, pictures):
    model = make("resnet").eval()
    body, shortcut = second_block(model, pictures(3))
    weights = model.fc.weight.detach()[TARGETS]
    expected = torch.einsum("nk,nkhw->nhw", weights, F.relu(body + shortcut)).numpy()
    np.testing.assert_allclose(explain(model, pictures(3), TARGETS, method="cam").maps, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(explain(model, pictures(3), TARGETS).maps, expected / 35, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [name for name in OF_LAYERS if name not in ("cam", "grad-cam++")])
def test_at_a_named_layer_whose_output_is_changed_in_place(make, pictures, method):
    """`x += shortcut` writes into the output of `layer2.bn2`; explained is what the layer gave."""
    found = explain(make("resnet"), pictures(3), TARGETS, layer="layer2.bn2", method=method)
    assert found.layer == "layer2.bn2"
    assert np.isfinite(found.maps).all()
    spread = found.maps.max(axis=(1, 2)) - found.maps.min(axis=(1, 2))
    assert (spread > 0).sum() >= 2, "all but one, for which no guided gradient comes through"


def test_grad_cam_at_a_layer_whose_output_is_changed_in_place(make, pictures):
    model = make("resnet").eval()
    body, shortcut = second_block(model, pictures(3))
    passes = (body + shortcut > 0).float()  # of the ReLU behind the sum
    gradient = model.fc.weight.detach()[TARGETS][:, :, None, None] * passes / 35
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * body).sum(dim=1).numpy()
    found = explain(model, pictures(3), TARGETS, layer="layer2.bn2")
    np.testing.assert_allclose(found.maps, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", [name for name in OF_LAYERS if name != "cam"])
def test_at_a_named_block(make, pictures, method):
    found = explain(make("resnet"), pictures(3), TARGETS, layer="layer1", method=method)
    assert found.layer == "layer1"
    assert found.maps.shape == (3, 10, 14)
    spread = found.maps.max(axis=(1, 2)) - found.maps.min(axis=(1, 2))
    assert (spread > 0).sum() >= 2, "all but one, for which no guided gradient comes through"


def test_classic_cam_is_refused_where_it_is_not_defined(make, pictures):
    with pytest.raises(UsageError, match=r"cam at layer 'layer1' of UserResNet: .* use grad-cam"):
        explain(make("resnet"), pictures(3), TARGETS, layer="layer1", method="cam")

"""Learned kernels and their tiles against values worked out by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.errors import UsageError
from convscope.explain import learned_filters


class OurConv(nn.Module):
    """A convolution that is not torch's own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 2, 3, 5))


def test_the_first_convolution_or_the_one_named(make):
    model = make("gap")
    name, kernels = learned_filters(model)
    assert name == "features.0"
    np.testing.assert_array_equal(kernels, model.features[0].weight.detach())
    name, kernels = learned_filters(model, "features.4")
    assert (name, kernels.shape, kernels.dtype) == ("features.4", (8, 6, 3, 3), np.float32)


def test_kernels_are_a_copy(make):
    model = make("gap")
    before = model.features[0].weight.detach().clone()
    learned_filters(model)[1][:] = 0
    assert torch.equal(model.features[0].weight, before)


def test_any_module_with_kernels_but_no_transposed_convolution():
    model = nn.Sequential(nn.ConvTranspose2d(3, 2, 3), OurConv(), nn.Conv1d(2, 2, 3), nn.Linear(2, 2))
    name, kernels = learned_filters(model)
    assert name == "1"
    np.testing.assert_array_equal(kernels, model[1].weight.detach())


def test_a_weight_that_a_parametrization_computes(make):
    model = make("gap").double()
    nn.utils.parametrizations.weight_norm(model.features[0])
    _, kernels = learned_filters(model, "features.0")
    np.testing.assert_array_equal(kernels, model.features[0].weight.detach().float())


@pytest.mark.parametrize(
    ("layer", "words"),
    [("features.2", "'features.2' is a ReLU, not a convolution"), ("conv1", "'conv1' does not exist")],
)
def test_refusals_list_the_convolutions(make, layer, words):
    with pytest.raises(UsageError, match=f"layer {words}; choose from features.0, features.4$"):
        learned_filters(make("gap"), layer)


def test_a_model_without_convolutions():
    with pytest.raises(UsageError, match="Sequential has no two-dimensional convolution"):
        learned_filters(nn.Sequential(nn.Linear(3, 2)))

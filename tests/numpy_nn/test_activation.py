"""ReLU, GELU and Tanh against PyTorch, and what they do at 0, far out and with NaN."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import GELU, ReLU, Tanh

LAYERS = [(ReLU, nn.ReLU), (GELU, nn.GELU), (Tanh, nn.Tanh)]


@pytest.mark.parametrize(("ours", "theirs"), LAYERS)
@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple),
    scale=st.sampled_from([1e-3, 1.0, 5.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_parity(parity, dtype, ours, theirs, shape, scale, seed):
    rng = np.random.default_rng(seed)
    parity(ours(), theirs(), (scale * rng.standard_normal(shape)).astype(dtype), rng)


@pytest.mark.parametrize(("ours", "theirs"), LAYERS)
def test_at_zero_far_out_and_nan(parity, ours, theirs):
    x = np.array([0.0, -0.0, np.nan, -40.0, 40.0, 1e-300, -1e-300])
    parity(ours(), theirs(), x, np.random.default_rng(1))


def test_a_gradient_of_nan_does_not_pass_a_closed_relu():
    relu, x = ReLU(), np.array([-1.0, 2.0])
    relu(x)
    dy = np.array([np.nan, np.nan])
    theirs = torch.tensor(x, requires_grad=True)
    theirs.relu().backward(torch.tensor(dy))
    assert np.array_equal(relu.backward(dy), theirs.grad.numpy(), equal_nan=True)


def test_gelu_is_the_exact_one():
    x = np.linspace(-4, 4, 101)
    tanh_form = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    assert np.abs(GELU()(x) - tanh_form).max() > 1e-4

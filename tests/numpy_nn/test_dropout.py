"""Dropout: the share dropped, the scale of the rest, the mask shared by both directions, and the ends p=0, p=1."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.numpy_nn import Dropout


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple),
    p=st.floats(0, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_parity_given_the_mask(assert_close, dtype, shape, p, seed):
    """PyTorch draws other masks, so it is given ours: as scale times mask, its gradient must be ours."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.5, 2, shape).astype(dtype)
    layer = Dropout(p, rng=rng)
    y = layer(x)
    theirs = torch.tensor(x, requires_grad=True)
    output = theirs * torch.from_numpy(y != 0) / (1 - p)
    assert_close(y, output, "output")
    dy = rng.standard_normal(shape).astype(dtype)
    output.backward(torch.from_numpy(dy))
    assert_close(layer.backward(dy), theirs.grad, "gradient of the input")
    assert_close(layer.backward(2 * dy), 2 * theirs.grad, "gradient, the mask a second time")


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_drops_a_share_of_p_and_keeps_the_mean(p):
    y = Dropout(p, rng=np.random.default_rng(1))(np.ones((400, 250)))
    assert np.isclose(y, 0).mean() == pytest.approx(p, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert np.allclose(np.unique(y), [0, 1 / (1 - p)])


def test_a_new_mask_each_time_and_the_same_from_the_same_seed():
    x = np.ones((20, 20))
    layer = Dropout(0.5, rng=np.random.default_rng(2))
    first = layer(x)
    assert not np.array_equal(first, layer(x))
    layer.rng = np.random.default_rng(2)
    assert np.array_equal(first, layer(x.astype(np.float32)))  # the dtype does not change who is dropped


def test_eval_is_the_identity():
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 3, 4))
    layer = Dropout(0.9).eval()
    assert np.array_equal(layer(x), x)
    assert np.array_equal(layer.backward(dy), dy)


@pytest.mark.parametrize(("p", "factor"), [(0, 1), (1, 0)])
def test_the_ends(p, factor):
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal((2, 3, 4))
    layer = Dropout(p)
    assert np.array_equal(layer(x), factor * x)
    assert np.array_equal(layer.backward(dy), factor * dy)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), None, "a", [0.5]])
def test_refuses(p):
    with pytest.raises(ValueError, match=rf"Dropout got p {re.escape(repr(p))}: expected a number from 0 to 1"):
        Dropout(p)


def test_takes_a_probability_of_numpy():
    assert Dropout(np.float32(0.5)).p == Dropout(np.float64(0.5)).p == 0.5

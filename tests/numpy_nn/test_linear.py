"""Linear and Flatten against PyTorch, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import Flatten, Linear

MANY = settings(max_examples=200, derandomize=True, deadline=None)


@MANY
@given(
    lead=st.lists(st.integers(1, 4), max_size=3),
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_linear_parity(parity, dtype, lead, sizes, bias, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*lead, sizes[0])).astype(dtype)
    parity(Linear(*sizes, bias=bias), nn.Linear(*sizes, bias=bias), x, rng)


@MANY
@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple), seed=st.integers(0, 2**32 - 1))
def test_flatten_parity(parity, dtype, shape, seed):
    rng = np.random.default_rng(seed)
    parity(Flatten(), nn.Flatten(), rng.standard_normal(shape).astype(dtype), rng)


def test_empty_batches():
    linear = Linear(3, 2)
    assert linear(np.zeros((0, 3))).shape == (0, 2)
    assert linear.backward(np.zeros((0, 2))).shape == (0, 3)
    assert Flatten()(np.zeros((0, 3, 4, 5))).shape == (0, 60)


def test_xavier_uniform():
    weight = Linear(300, 100, rng=np.random.default_rng(0)).params["weight"]
    bound = np.sqrt(6 / 400)
    assert 0.99 * bound < np.abs(weight).max() <= bound
    assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Linear(5, 3)(np.zeros((4, 7))), r"^Linear got input \(4, 7\): 7 features, its weight expects 5$"),
        (lambda: Linear(5, 3)(np.zeros((5, 1))), r"^Linear got input \(5, 1\): 1 feature, its weight expects 5$"),
        (lambda: Linear(5, 3)(np.array(1.0)), r"^Linear got input \(\): no axis"),
        (lambda: Linear(0, 3), r"Linear got in_features 0: expected at least 1"),
        (lambda: Flatten()(np.zeros(4)), r"Flatten got input \(4,\): expected at least 2 axes"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""erf against the C library's, to rounding."""

import math

import numpy as np

from convscope.numpy_nn.erf import erf


def test_float64_to_rounding():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [np.linspace(-7, 7, 4001), rng.standard_normal(4000), 10.0 ** rng.uniform(-12, 0, 1000), [-0.46875, 4.0, 6.0]]
    )
    truth = np.array([math.erf(value) for value in x])
    assert np.abs(erf(x) - truth).max() <= 2.3e-16
    small = np.abs(x) < 0.4  # near 0 the relative error matters too
    assert np.abs(erf(x)[small] / np.where(x == 0, 1, truth)[small] - 1)[x[small] != 0].max() < 5e-16


def test_float32_stays_float32():
    x = np.linspace(-7, 7, 4001, dtype=np.float32)
    truth = np.array([math.erf(value) for value in x])
    assert erf(x).dtype == np.float32
    assert np.abs(erf(x) - truth).max() < 2e-7


def test_ends_and_shapes():
    x = np.array([[np.inf, -np.inf, np.nan], [0.0, 30.0, -30.0]])
    assert np.array_equal(erf(x), [[1, -1, np.nan], [0, 1, -1]], equal_nan=True)
    assert erf(np.array(0.5)).shape == ()
    assert erf(np.zeros((0, 3))).shape == (0, 3)

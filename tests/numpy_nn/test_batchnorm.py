"""BatchNorm2D against torch.nn.BatchNorm2d in both modes: values, gradients, running statistics."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import BatchNorm2D

MANY = settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# six values a channel at least: of two or three, the gradient is next to nothing but rounding
shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 12), st.integers(3, 12))
options = st.fixed_dictionaries(
    {"momentum": st.sampled_from([0.1, 0.0, 1.0, 0.37]), "eps": st.sampled_from([1e-5, 1e-3])}
)
seeds = st.integers(0, 2**32 - 1)


def assert_same_statistics(assert_close, layer, twin):
    assert_close(layer.running_mean, twin.running_mean, "running mean")
    assert_close(layer.running_var, twin.running_var, "running variance")


@MANY
@given(shape=shapes, options=options, seed=seeds)
def test_parity_in_training(parity, assert_close, dtype, shape, options, seed):
    rng = np.random.default_rng(seed)
    layer, twin = BatchNorm2D(shape[1], **options), nn.BatchNorm2d(shape[1], **options)
    for _ in range(2):  # the second batch meets running statistics that are no longer 0 and 1
        spread, centre = rng.uniform(0.5, 3, (2, shape[1], 1, 1))
        parity(layer, twin, (centre + spread * rng.standard_normal(shape)).astype(dtype), rng)
        assert_same_statistics(assert_close, layer, twin)


@MANY
@given(shape=st.tuples(*[st.integers(1, high) for high in (3, 6, 12, 12)]), options=options, seed=seeds)
def test_parity_in_eval_mode(parity, assert_close, dtype, shape, options, seed):
    rng = np.random.default_rng(seed)
    layer, twin = BatchNorm2D(shape[1], **options).eval(), nn.BatchNorm2d(shape[1], **options)
    layer.running_mean = rng.standard_normal(shape[1]).astype(dtype)
    layer.running_var = rng.uniform(0.2, 4, shape[1]).astype(dtype)
    statistics = {"running_mean": layer.running_mean.copy(), "running_var": layer.running_var.copy()}
    twin.to(torch.float64 if dtype is np.float64 else torch.float32).load_state_dict(
        {name: torch.from_numpy(array) for name, array in statistics.items()}, strict=False
    )
    parity(layer, twin, rng.standard_normal(shape).astype(dtype), rng)
    assert_same_statistics(assert_close, layer, twin)
    assert np.array_equal(layer.running_mean, statistics["running_mean"])  # eval records nothing


def test_two_values_a_channel(parity):
    rng = np.random.default_rng(3)
    parity(BatchNorm2D(4, eps=0.1), nn.BatchNorm2d(4, eps=0.1), rng.standard_normal((2, 4, 1, 1)), rng)


def test_stores_the_unbiased_variance_and_normalises_with_the_biased_one():
    x = np.random.default_rng(4).standard_normal((2, 1, 1, 3))
    layer = BatchNorm2D(1, eps=0.0, momentum=1.0)
    assert layer(x).var() == pytest.approx(1.0, rel=1e-12)
    assert layer.running_var[0] == pytest.approx(x.var(ddof=1), rel=1e-12)
    assert x.var(ddof=1) == pytest.approx(1.2 * x.var())


@pytest.mark.parametrize(("mean", "dtype", "allowed"), [(1e8, np.float64, 1e-6), (3e3, np.float32, 1e-3)])
def test_a_large_mean_does_not_eat_the_variance(mean, dtype, allowed):
    noise = np.random.default_rng(5).standard_normal((3, 2, 9, 11))
    x = (mean + noise).astype(dtype)
    exact = x.astype(np.float64) - mean  # what rounding left of the noise
    centred = exact - exact.mean(axis=(0, 2, 3), keepdims=True)
    expected = centred / centred.std(axis=(0, 2, 3), keepdims=True)
    assert np.abs(BatchNorm2D(2, eps=0.0)(x) - expected).max() < allowed


def test_statistics_follow_the_dtype_of_the_input():
    layer = BatchNorm2D(3)
    x = np.random.default_rng(6).standard_normal((2, 3, 4, 5))
    for dtype in (np.float32, np.float64):
        assert layer(x.astype(dtype)).dtype == dtype
        assert layer.running_mean.dtype == layer.running_var.dtype == dtype


def test_backward_belongs_to_the_mode_of_its_forward():
    rng = np.random.default_rng(7)
    x, dy = rng.standard_normal((2, 2, 3, 4, 5))
    layer = BatchNorm2D(3)
    layer(x)
    expected = layer.backward(dy)
    layer.eval()
    assert np.array_equal(layer.backward(dy), expected)
    layer(x)
    assert not np.allclose(layer.backward(dy), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BatchNorm2D(0), r"BatchNorm2D got num_features 0"),
        (lambda: BatchNorm2D(3, momentum=None), r"BatchNorm2D got momentum None: expected a number from 0 to 1"),
        (lambda: BatchNorm2D(3, momentum=1.5), r"BatchNorm2D got momentum 1.5"),
        (lambda: BatchNorm2D(3, momentum="x"), r"BatchNorm2D got momentum 'x': expected a number from 0 to 1"),
        (lambda: BatchNorm2D(3, momentum=float("nan")), r"BatchNorm2D got momentum nan"),
        (lambda: BatchNorm2D(3, eps=-1e-5), r"BatchNorm2D got eps -1e-05: expected a number of at least 0"),
        (lambda: BatchNorm2D(3, eps=float("nan")), r"BatchNorm2D got eps nan"),
        (lambda: BatchNorm2D(3, eps=float("inf")), r"BatchNorm2D got eps inf"),
        (lambda: BatchNorm2D(3, eps=None), r"BatchNorm2D got eps None"),
        (lambda: BatchNorm2D(3)(np.zeros((2, 4, 5, 5))), r"input \(2, 4, 5, 5\): 4 channels, .* expects 3"),
        (lambda: BatchNorm2D(3)(np.zeros((2, 3))), r"input \(2, 3\): 2 axes, expected 4"),
        (lambda: BatchNorm2D(3)(np.zeros((1, 3, 1, 1))), r"input \(1, 3, 1, 1\): one value a channel"),
        (lambda: BatchNorm2D(3)(np.zeros((0, 3, 5, 5))), r"input \(0, 3, 5, 5\): an empty batch"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_value_a_channel_is_fine_in_eval_mode():
    layer = BatchNorm2D(3, eps=0.0).eval()
    layer.running_var = np.array([1.0, 4.0, 16.0])
    assert np.array_equal(layer(np.full((1, 3, 1, 1), 8.0)).ravel(), [8, 4, 2])


def test_an_empty_batch_is_fine_in_eval_mode():
    assert BatchNorm2D(3).eval()(np.zeros((0, 3, 5, 4))).shape == (0, 3, 5, 4)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_may_be_set_as_lists(training):
    x = np.random.default_rng(8).standard_normal((2, 2, 3, 4))
    layers = BatchNorm2D(2), BatchNorm2D(2)
    layers[0].running_mean, layers[0].running_var = [0, 3], [4, 1]
    layers[1].running_mean, layers[1].running_var = np.array([0.0, 3.0]), np.array([4.0, 1.0])
    y, expected = (layer(x) if training else layer.eval()(x) for layer in layers)
    assert np.array_equal(y, expected)
    assert np.array_equal(layers[0].running_mean, layers[1].running_mean)
    assert np.array_equal(layers[0].running_var, layers[1].running_var)


def test_refuses_statistics_that_are_no_numbers():
    layer = BatchNorm2D(2)
    layer.running_mean = ["a", "b"]
    with pytest.raises(ValueError, match="BatchNorm2D has running_mean of type <U1, expected numbers"):
        layer(np.zeros((2, 2, 3, 3)))


def test_refuses_statistics_of_another_shape():
    layer = BatchNorm2D(3)
    layer.running_var = np.ones(4)
    with pytest.raises(ValueError, match=r"BatchNorm2D has running_var \(4,\), expected \(3,\)"):
        layer(np.zeros((2, 3, 4, 4)))


def test_an_empty_batch_in_eval_mode_has_gradients_of_zero():
    norm = BatchNorm2D(3).eval()
    y = norm(np.zeros((0, 3, 4, 4)))
    assert norm.backward(y).shape == (0, 3, 4, 4)
    np.testing.assert_array_equal(norm.grads["weight"], np.zeros(3))
    np.testing.assert_array_equal(norm.grads["bias"], np.zeros(3))


def test_sums_over_large_maps_keep_their_precision():
    norm = BatchNorm2D(1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 1, 1024, 1024), dtype=np.float32)
    norm(x)
    norm.backward(np.full_like(x, 0.1))
    assert norm.grads["bias"][0] == pytest.approx(np.float32(0.1) * 1024**2, rel=1e-6)
    exact = x.var(dtype=np.float64) * 1024**2 / (1024**2 - 1)
    assert norm.running_var[0] == pytest.approx(0.9 + 0.1 * exact, rel=1e-6)

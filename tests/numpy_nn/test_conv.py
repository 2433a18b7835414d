"""Conv2D against torch.nn.Conv2d, its initialisation, and what it refuses."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import Conv2D

MANY = settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def axes(draw: st.DrawFn) -> dict[str, tuple[int, int]]:
    """Size, kernel, stride, padding and dilation of both axes, so that the kernel fits."""
    drawn = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 3))
        span = dilation * (kernel - 1) + 1
        drawn.append((draw(st.integers(max(1, span - 2 * padding), 12)), kernel, stride, padding, dilation))
    names = ("size", "kernel_size", "stride", "padding", "dilation")
    return dict(zip(names, zip(*drawn, strict=True), strict=True))


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict, tuple[int, ...], int]:
    """The arguments of a convolution, the shape of an input that fits, and a seed."""
    options = draw(axes())
    height, width = options.pop("size")
    groups = draw(st.integers(1, 3))
    if draw(st.integers(0, 4)) == 0:
        options |= {"padding": "same", "stride": 1}
    options["groups"], options["bias"] = groups, draw(st.booleans())
    options["in_channels"] = groups * draw(st.integers(1, 2))
    options["out_channels"] = groups * draw(st.integers(1, 3))
    return options, (draw(st.integers(1, 3)), options["in_channels"], height, width), draw(st.integers(0, 2**32 - 1))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@MANY
@given(case=convolutions())
def test_parity(parity, dtype, case):
    options, shape, seed = case
    rng = np.random.default_rng(seed)
    parity(Conv2D(**options), nn.Conv2d(**options), rng.standard_normal(shape).astype(dtype), rng)


def test_an_int_is_a_pair():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 9, 11))
    one = Conv2D(3, 4, 3, stride=2, padding=1, dilation=2, rng=np.random.default_rng(5))
    two = Conv2D(3, 4, (3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), rng=np.random.default_rng(5))
    numpy_integer = Conv2D(3, 4, np.int64(3), stride=[2, 2], padding=1, dilation=2, rng=np.random.default_rng(5))
    assert np.array_equal(one(x), two(x))
    assert np.array_equal(one(x), numpy_integer(x))


def test_same_keeps_the_size_for_even_kernels():
    x = np.random.default_rng(2).standard_normal((2, 1, 5, 7))
    assert Conv2D(1, 1, (4, 2), padding="same", dilation=(1, 3))(x).shape == x.shape


def test_an_empty_batch():
    layer = Conv2D(3, 4, (2, 3), groups=1)
    y = layer(np.zeros((0, 3, 5, 6)))
    assert y.shape == (0, 4, 4, 4)
    assert layer.backward(y).shape == (0, 3, 5, 6)
    assert np.array_equal(layer.grads["weight"], np.zeros((4, 3, 2, 3)))


def test_the_bias_may_be_taken_away():
    layer = Conv2D(2, 3, 2, rng=np.random.default_rng(3))
    layer.params["bias"] = np.array([1.0, 2.0, 3.0])
    x = np.random.default_rng(4).standard_normal((2, 2, 4, 5))
    with_bias = layer(x)
    del layer.params["bias"]
    np.testing.assert_allclose(with_bias - layer(x), np.broadcast_to([[[1.0]], [[2.0]], [[3.0]]], (2, 3, 3, 4)))


def test_xavier_uniform():
    layer = Conv2D(32, 64, (3, 5), groups=4, rng=np.random.default_rng(0))
    weight = layer.params["weight"]  # (64, 8, 3, 5): fan_in 8·15, fan_out 64·15, as torch.nn.init counts them
    bound = np.sqrt(6 / (8 * 15 + 64 * 15))
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.99 * bound
    assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    assert abs(weight.mean()) < 0.05 * bound
    assert not layer.params["bias"].any()
    again = Conv2D(32, 64, (3, 5), groups=4, rng=np.random.default_rng(0))
    assert np.array_equal(weight, again.params["weight"])
    assert not np.array_equal(weight, Conv2D(32, 64, (3, 5), groups=4).params["weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"Conv2D got stride 0: expected at least 1"),
        ({"stride": (1, 0)}, r"Conv2D got stride 0: expected at least 1"),
        ({"padding": -1}, r"Conv2D got padding -1: expected at least 0"),
        ({"padding": "full"}, r"Conv2D got padding 'full': expected a whole number, a pair or 'same'"),
        ({"padding": "same", "stride": (1, 2)}, r"Conv2D got padding 'same' with stride \(1, 2\)"),
        ({"dilation": 0}, r"Conv2D got dilation 0"),
        ({"kernel_size": 0}, r"Conv2D got kernel_size 0"),
        ({"kernel_size": 2.5}, r"Conv2D got kernel_size 2.5: expected a whole number"),
        ({"kernel_size": (3, 3, 3)}, r"Conv2D got kernel_size \(3, 3, 3\): .* \(height, width\) pair"),
        ({"groups": 2}, r"Conv2D got in_channels 3 and out_channels 4: groups 2 must divide both"),
        ({"groups": 3}, r"Conv2D got in_channels 3 and out_channels 4: groups 3 must divide both"),
        ({"out_channels": 0}, r"Conv2D got out_channels 0"),
    ],
)
def test_refuses_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        Conv2D(**({"in_channels": 3, "out_channels": 4, "kernel_size": 3} | options))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 1, 28, 28), r"^Conv2D got input \(8, 1, 28, 28\): 1 channel, its kernels expect 3$"),
        ((8, 4, 28, 28), r"^Conv2D got input \(8, 4, 28, 28\): 4 channels, its kernels expect 3$"),
        ((3, 28, 28), r"^Conv2D got input \(3, 28, 28\): 3 axes, expected 4: \(N, C, H, W\)$"),
        ((2, 3, 6, 3), r"^Conv2D got input \(2, 3, 6, 3\): kernel \(3, 6\), larger than the padded input \(8, 5\)$"),
        ((2, 3, 0, 9), r"^Conv2D got input \(2, 3, 0, 9\): .* must be at least 1$"),
    ],
)
def test_refuses_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        Conv2D(3, 4, (3, 6), padding=1)(np.zeros(shape))


def test_says_how_far_a_dilated_kernel_reaches():
    message = r"kernel \(3, 2\) with dilation \(4, 1\) spans \(9, 2\), larger than the padded input \(8, 8\)"
    with pytest.raises(ValueError, match=message):
        Conv2D(1, 1, (3, 2), dilation=(4, 1))(np.zeros((1, 1, 8, 8)))


def test_backward_goes_the_way_of_its_forward():
    """Whatever `plain` says by then."""
    rng = np.random.default_rng(8)
    layer = Conv2D(3, 4, 3, rng=rng)
    first, second = rng.standard_normal((2, 5, 3, 7, 6))
    dy = rng.standard_normal((5, 4, 5, 4))
    for plain in (True, False):
        layer.plain = plain
        layer(second)
        expected = layer.backward(dy), layer.grads["weight"].copy()
        layer.plain = not plain
        layer(first)
        layer.plain = plain
        layer(second)
        layer.plain = not plain
        np.testing.assert_array_equal(layer.backward(dy), expected[0])
        np.testing.assert_array_equal(layer.grads["weight"], expected[1])

"""The poolings against PyTorch: ties, overlap, padding, ceil_mode, divisors, NaN and -inf."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import AveragePool2D, GlobalAveragePool2D, GlobalMaxPool2D, MaxPool2D

MANY = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def poolings(draw: st.DrawFn) -> tuple[dict, tuple[int, ...], int]:
    """The arguments of a pooling, the shape of an input that is large enough, and a seed."""
    drawn, sizes = [], []
    ceil_mode = draw(st.booleans())
    for _ in range(2):
        kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4))
        padding = draw(st.integers(0, kernel // 2))
        # ceil_mode takes inputs that a kernel does not fit into, if its stride lets a window hang over
        reach = stride - 1 if ceil_mode else 0
        sizes.append(draw(st.integers(max(1, kernel - 2 * padding - reach), 12)))
        drawn.append((kernel, stride, padding))
    kernel_size, stride, padding = zip(*drawn, strict=True)
    options = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    if draw(st.integers(0, 4)) == 0:
        options["stride"] = None
    if not ceil_mode or options["stride"] is None:
        sizes = [max(size, kernel) for size, kernel in zip(sizes, kernel_size, strict=True)]
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 4)), *sizes
    return options, shape, draw(st.integers(0, 2**32 - 1))


@MANY
@given(case=poolings())
def test_max_parity(parity, dtype, case):
    options, shape, seed = case
    rng = np.random.default_rng(seed)
    parity(MaxPool2D(**options), nn.MaxPool2d(**options), rng.standard_normal(shape).astype(dtype), rng)


@MANY
@given(case=poolings())
def test_max_parity_with_ties(parity, case):
    """Three values only, so that nearly every window has a tie, and all-negative maps beside the padding."""
    options, shape, seed = case
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 0, shape).astype(np.float64)
    parity(MaxPool2D(**options), nn.MaxPool2d(**options), x, rng)


@MANY
@given(case=poolings())
def test_max_parity_with_nan_and_infinity(parity, case):
    options, shape, seed = case
    rng = np.random.default_rng(seed)
    x = rng.choice([np.nan, -np.inf, np.inf, -1.0, 2.0], size=shape, p=[0.15, 0.5, 0.1, 0.15, 0.1])
    parity(MaxPool2D(**options), nn.MaxPool2d(**options), x, rng)


@MANY
@given(case=poolings(), count_include_pad=st.booleans())
def test_average_parity(parity, dtype, case, count_include_pad):
    options, shape, seed = case
    options = options | {"count_include_pad": count_include_pad}
    rng = np.random.default_rng(seed)
    parity(AveragePool2D(**options), nn.AvgPool2d(**options), rng.standard_normal(shape).astype(dtype), rng)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(shape=st.tuples(*[st.integers(1, high) for high in (3, 6, 12, 12)]), seed=st.integers(0, 2**32 - 1))
def test_global_average_parity(parity, dtype, shape, seed):
    rng = np.random.default_rng(seed)
    parity(GlobalAveragePool2D(), nn.AdaptiveAvgPool2d(1), rng.standard_normal(shape).astype(dtype), rng)
    parity(GlobalMaxPool2D(), nn.AdaptiveMaxPool2d(1), rng.standard_normal(shape).astype(dtype), rng)


def test_overlapping_windows_add_their_gradients():
    pool = MaxPool2D((1, 3), stride=1)
    pool(np.array([[[[0.0, 1, 9, 1, 0]]]]))  # 9 wins all three windows
    assert np.array_equal(pool.backward(np.array([[[[2.0, 3, 5]]]])), [[[[0, 0, 10, 0, 0]]]])


@pytest.mark.parametrize("kind", [MaxPool2D, AveragePool2D])
@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ({"kernel_size": 0}, None, r"got kernel_size 0"),
        ({"kernel_size": 2, "stride": 0}, None, r"got stride 0: expected at least 1"),
        ({"kernel_size": 2, "padding": -1}, None, r"got padding -1"),
        (
            {"kernel_size": (2, 3), "padding": (1, 2)},
            None,
            r"got padding \(1, 2\) with kernel \(2, 3\): .* half .*\(1, 1\)",
        ),
        ({"kernel_size": 5}, (2, 3, 4, 9), r"got input \(2, 3, 4, 9\): kernel \(5, 5\), larger than .* \(4, 9\)"),
        ({"kernel_size": 5, "stride": 1, "ceil_mode": True}, (2, 3, 9, 4), r"got input \(2, 3, 9, 4\): kernel"),
        ({"kernel_size": 2}, (3, 4, 9), r"got input \(3, 4, 9\): 3 axes, expected 4: \(N, C, H, W\)"),
    ],
)
def test_refuses(kind, arguments, shape, message):
    with pytest.raises(ValueError, match=f"^{kind.__name__} {message}"):
        kind(**arguments)(np.zeros(shape))


def test_where_torch_refuses_the_size_so_do_we():
    """Every small size, kernel, stride, padding and rounding: the same output size, or an error from both."""
    refused = 0
    for size, kernel, stride, ceil_mode in np.ndindex(6, 6, 4, 2):
        for padding in range((kernel + 1) // 2 + 1):
            arguments = (kernel + 1, stride + 1, padding)
            x = torch.zeros(1, 1, size + 1, 20, dtype=torch.float64)
            try:
                expected = nn.MaxPool2d(*arguments, ceil_mode=bool(ceil_mode))(x).shape
            except RuntimeError:
                refused += 1
                with pytest.raises(ValueError, match="larger than the padded input"):
                    MaxPool2D(*arguments, ceil_mode=bool(ceil_mode))(x.numpy())
            else:
                assert MaxPool2D(*arguments, ceil_mode=bool(ceil_mode))(x.numpy()).shape == tuple(expected)
    assert refused > 50

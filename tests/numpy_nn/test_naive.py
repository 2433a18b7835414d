"""conv2d_naive against the matrix product of Conv2D and against PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convscope.numpy_nn import Conv2D, conv2d_naive


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict, tuple[int, ...], tuple[int, ...], bool, int]:
    """Options, shapes of input and weight, whether there is a bias, and a seed."""
    pairs = {"stride": (1, 2), "padding": (0, 2), "dilation": (1, 2)}
    options = {name: (draw(st.integers(*ends)), draw(st.integers(*ends))) for name, ends in pairs.items()}
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if draw(st.integers(0, 4)) == 0:
        options |= {"padding": "same", "stride": (1, 1)}
    groups = draw(st.integers(1, 2))
    size = draw(st.integers(5, 7)), draw(st.integers(5, 7))
    x_shape = (draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *size)
    weight_shape = groups * draw(st.integers(1, 2)), x_shape[1] // groups, *kernel
    return options | {"groups": groups}, x_shape, weight_shape, draw(st.booleans()), draw(st.integers(0, 2**32 - 1))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases())
def test_is_conv2d_and_torch(assert_close, dtype, case):
    options, x_shape, weight_shape, with_bias, seed = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(x_shape).astype(dtype)
    weight = rng.standard_normal(weight_shape).astype(dtype)
    bias = rng.standard_normal(weight_shape[0]).astype(dtype) if with_bias else None

    y = conv2d_naive(x, weight, bias, **options)
    tensors = [None if array is None else torch.from_numpy(array) for array in (x, weight, bias)]
    assert_close(y, torch.nn.functional.conv2d(*tensors, **options), "against torch")
    layer = Conv2D(x_shape[1], weight_shape[0], weight_shape[2:], bias=with_bias, **options)
    layer.params["weight"] = weight
    if bias is not None:
        layer.params["bias"] = bias
    assert_close(y, layer(x), "against Conv2D")


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "options", "message"),
    [
        ((1, 2, 5, 5), (4, 3, 3, 3), {}, r"input \(1, 2, 5, 5\): 2 channels, weight \(4, 3, 3, 3\) .* expects 3"),
        ((1, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}, r"weight \(3, 2, 3, 3\): groups 2 does not divide 3 kernels"),
        ((2, 5, 5), (4, 3, 3, 3), {}, r"conv2d_naive got input \(2, 5, 5\): 3 axes"),
        ((1, 3, 5, 5), (3, 3, 3), {}, r"conv2d_naive got weight \(3, 3, 3\): expected \(O, C/groups, KH, KW\)"),
        ((1, 3, 2, 5), (4, 3, 3, 3), {}, r"kernel \(3, 3\), larger than the padded input \(2, 5\)"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"stride": 0}, r"conv2d_naive got stride 0"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"bias": np.zeros(3)}, r"conv2d_naive has bias \(3,\), expected \(4,\)"),
        ((1, 3, 5, 5), (4, 3, 3, 3), {"groups": 0}, r"conv2d_naive got groups 0"),
    ],
)
def test_refuses(x_shape, weight_shape, options, message):
    with pytest.raises(ValueError, match=message):
        conv2d_naive(np.zeros(x_shape), np.zeros(weight_shape), **options)


def test_refuses_bytes():
    with pytest.raises(ValueError, match=r"conv2d_naive got uint8 input \(1, 1, 3, 3\): expected float32 or float64"):
        conv2d_naive(np.zeros((1, 1, 3, 3), np.uint8), np.ones((1, 1, 2, 2)))

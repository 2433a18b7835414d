"""im2col against torch's unfold, col2im as its adjoint, and the size formula against a count by hand."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convscope.numpy_nn import col2im, im2col, output_size

MANY = settings(max_examples=300, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def unfoldings(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, tuple[int, int]], int]:
    """The shape of an input, the arguments of im2col, and a seed."""
    names = ("kernel_size", "stride", "padding", "dilation")
    drawn, sizes = [], []
    for _ in range(2):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        padding, dilation = draw(st.integers(0, 3)), draw(st.integers(1, 3))
        sizes.append(draw(st.integers(max(1, dilation * (kernel - 1) + 1 - 2 * padding), 12)))
        drawn.append((kernel, stride, padding, dilation))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 4)), *sizes
    return shape, dict(zip(names, zip(*drawn, strict=True), strict=True)), draw(st.integers(0, 2**32 - 1))


@MANY
@given(case=unfoldings())
def test_is_torch_unfold(case):
    shape, options, seed = case
    x = np.random.default_rng(seed).standard_normal(shape)
    reference = torch.nn.functional.unfold(torch.from_numpy(x), **options)  # (N, C*KH*KW, OH*OW)
    columns = im2col(x, **options)
    assert np.array_equal(columns, reference.permute(1, 0, 2).reshape(columns.shape).numpy())
    assert columns.shape[1] % len(x) == 0


@MANY
@given(case=unfoldings())
def test_adjoint(case):
    shape, options, seed = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    columns = im2col(x, **options)
    c = rng.standard_normal(columns.shape)
    back = col2im(c, shape, **options)
    assert back.shape == shape
    # ⟨im2col x, c⟩ = ⟨x, col2im c⟩
    assert np.vdot(columns, c) == pytest.approx(np.vdot(x, back), rel=1e-10, abs=1e-10 * columns.size)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_output_size_counts_the_places(size, kernel, stride, padding, dilation):
    span = dilation * (kernel - 1) + 1
    places = sum(start + span <= size + 2 * padding for start in range(0, size + 2 * padding, stride))
    if places:
        assert output_size(size, kernel, stride, padding, dilation) == places
    else:
        with pytest.raises(ValueError, match=rf"a kernel that spans {span} pixels does not fit"):
            output_size(size, kernel, stride, padding, dilation)


def test_keeps_the_dtype_and_makes_new_memory():
    for dtype in (np.uint8, np.int64, np.float32):
        x = np.arange(12).reshape(1, 3, 2, 2).astype(dtype)
        columns = im2col(x, 1)  # here the columns are x itself, turned
        assert columns.dtype == dtype
        assert not np.shares_memory(columns, x)
        columns[:] = 0
        back = col2im(im2col(x, 1), (1, 3, 2, 2), 1)
        assert back.dtype == dtype
        assert np.array_equal(back, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: im2col(np.zeros((3, 5, 5)), 2), r"im2col got input \(3, 5, 5\): 3 axes, expected 4"),
        (lambda: im2col(np.zeros((1, 3, 2, 5)), 3), r"im2col got input \(1, 3, 2, 5\): kernel \(3, 3\), larger than"),
        (lambda: im2col(np.zeros((1, 3, 5, 5)), 2, stride=0), r"im2col got stride 0"),
        (lambda: im2col(np.zeros((1, 3, 5, 5)), 2, padding=(0, -1)), r"im2col got padding -1"),
        (
            lambda: col2im(np.zeros((12, 17)), (1, 3, 5, 5), 2),
            r"col2im got columns \(12, 17\): input \(1, 3, 5, 5\) and kernel \(2, 2\) expect \(12, 16\)",
        ),
        (lambda: col2im(np.zeros((12, 16)), (3, 5, 5), 2), r"col2im got input_shape \(3, 5, 5\): expected 4 axes"),
        (lambda: output_size(5, 3, stride=0), r"output_size got stride 0: expected at least 1"),
        (lambda: output_size(5, 3, padding=-1), r"output_size got padding -1"),
        (lambda: output_size(5.5, 3), r"output_size got size 5.5: expected a whole number"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()

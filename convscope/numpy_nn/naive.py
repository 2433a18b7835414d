"""The convolution as one could do it by hand: pictures and kernels in, and seven loops later the maps out."""

import numpy as np

from convscope.numpy_nn.im2col import output_hw
from convscope.numpy_nn.shapes import (
    Array,
    IntPair,
    check_float,
    check_images,
    check_shape,
    convolution_edges,
    pad_images,
    pair,
    plural,
    whole,
)


def conv2d_naive(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Array:
    """Convolve in plain Python loops, one multiply-add at a time.

    It is here to be read and to be compared with: `Conv2D` gives the same numbers from one matrix product.

    Args:
        x: pictures, (N, C, H, W), float32 or float64.
        weight: kernels, (O, C/groups, KH, KW).
        bias: (O,), or None.
        stride, padding, dilation, groups: as for `Conv2D`.

    Returns:
        (N, O, OH, OW) in x's dtype.

    Raises:
        ValueError: shapes that do not fit together, a kernel larger than the padded input, a number out of
            range.

    >>> x = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])
    >>> weight = np.array([[[[1.0, 0], [0, -1]]]])
    >>> print(conv2d_naive(x, weight)[0, 0])  # 1·1 + 2·0 + 4·0 + 5·(-1) = -4, and so on
    [[-4. -4.]
     [-4. -4.]]
    """
    x, weight = np.asarray(x), np.asarray(weight)
    _check(x, weight, groups)
    kernels, group_channels, kernel_h, kernel_w = weight.shape
    stride_h, stride_w = strides = pair("conv2d_naive", "stride", stride, at_least=1)
    dilation_h, dilation_w = dilations = pair("conv2d_naive", "dilation", dilation, at_least=1)
    edges = convolution_edges("conv2d_naive", padding, weight.shape[2:], strides, dilations)
    out_h, out_w = output_hw("conv2d_naive", x.shape, weight.shape[2:], strides, dilations, edges)

    padded = pad_images(x, edges)
    weight = weight.astype(x.dtype)
    bias = np.zeros(kernels, x.dtype) if bias is None else np.asarray(bias, x.dtype)
    check_shape("conv2d_naive", "bias", bias, (kernels,))

    y = np.empty((len(x), kernels, out_h, out_w), x.dtype)
    for n in range(len(x)):  # each picture
        for o in range(kernels):  # each kernel
            first = o // (kernels // groups) * group_channels  # the first input channel that it sees
            for p in range(out_h):  # each place where it comes to lie ...
                for q in range(out_w):
                    total = bias[o]
                    for c in range(group_channels):  # ... and there, each number of the kernel
                        for i in range(kernel_h):
                            row = p * stride_h + i * dilation_h
                            for j in range(kernel_w):
                                column = q * stride_w + j * dilation_w
                                total += weight[o, c, i, j] * padded[n, first + c, row, column]
                    y[n, o, p, q] = total
    return y


def _check(x: Array, weight: Array, groups: int) -> None:
    """Refuse pictures and kernels that do not fit together."""
    check_float("conv2d_naive", x)
    check_images("conv2d_naive", x)
    if weight.ndim != 4 or min(weight.shape) < 1:
        raise ValueError(f"conv2d_naive got weight {weight.shape}: expected (O, C/groups, KH, KW), none of them 0")
    groups = whole("conv2d_naive", "groups", groups, at_least=1)
    if weight.shape[0] % groups:
        raise ValueError(
            f"conv2d_naive got weight {weight.shape}: "
            f"groups {groups} does not divide {plural(weight.shape[0], 'kernel')}"
        )
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"conv2d_naive got input {x.shape}: {plural(x.shape[1], 'channel')}, weight {weight.shape} "
            f"with groups {groups} expects {weight.shape[1] * groups}"
        )

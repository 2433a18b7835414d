"""Pictures (N, C, H, W) -> a matrix with one patch a column, and back: a convolution becomes one product."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.numpy_nn.shapes import Edges, IntPair, Pair, check_images, pad_images, pair, whole


def output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How often a kernel fits along one axis: floor((H + 2P - D(K-1) - 1) / S) + 1.

    Args:
        size: pixels along the axis (H).
        kernel_size: taps of the kernel (K).
        stride: pixels from one position to the next (S).
        padding: pixels added at both ends (P).
        dilation: pixels from one tap to the next (D); the kernel spans D(K-1) + 1 pixels.

    Raises:
        ValueError: a number out of range, or a kernel that spans more than the padded axis.

    >>> output_size(28, kernel_size=5)
    24
    >>> output_size(32, kernel_size=3, stride=2, padding=1)
    16
    """
    size = whole("output_size", "size", size, at_least=1)
    kernel_size = whole("output_size", "kernel_size", kernel_size, at_least=1)
    stride = whole("output_size", "stride", stride, at_least=1)
    padding = whole("output_size", "padding", padding, at_least=0)
    dilation = whole("output_size", "dilation", dilation, at_least=1)
    span = dilation * (kernel_size - 1) + 1
    if span > size + 2 * padding:
        raise ValueError(
            f"output_size got size {size}: a kernel that spans {span} pixels "
            f"does not fit into {size + 2 * padding} (size + 2 · padding)"
        )
    return (size + 2 * padding - span) // stride + 1


def output_hw(owner: str, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair, edges: Edges) -> Pair:
    """(OH, OW) of a kernel over pictures of `shape` (N, C, H, W) padded by `edges`; or a ValueError."""
    padded = shape[2] + sum(edges[0]), shape[3] + sum(edges[1])
    span = dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
    if span[0] > padded[0] or span[1] > padded[1]:
        dilated = f" with dilation {dilation} spans {span}" if span != kernel else ""
        raise ValueError(f"{owner} got input {shape}: kernel {kernel}{dilated}, larger than the padded input {padded}")
    return (
        output_size(padded[0], kernel[0], stride[0], dilation=dilation[0]),
        output_size(padded[1], kernel[1], stride[1], dilation=dilation[1]),
    )


def meets(size: int, before: int, step: int, offset: int, count: int) -> tuple[slice, slice]:
    """Which of `count` places offset, offset + step, … lie on the picture, and which of its pixels those are.

    Places are counted on an axis of `size` pixels that has `before` zeros in front.
    """
    first = max(0, -(-(before - offset) // step))
    last = max(first, min(count, -(-(before + size - offset) // step)))
    start = first * step + offset - before
    return slice(first, last), slice(start, start + (last - first) * step, step)


def taps(kernel: Pair, stride: Pair, dilation: Pair, out: Pair) -> Iterator[tuple[int, int, slice, slice]]:
    """For each tap (i, j) of the kernel, row by row: the rows and columns it meets at the OH×OW places.

    So ``padded[:, :, rows, columns]`` is (N, C, OH, OW): what this one tap sees, everywhere at once.
    """
    for i in range(kernel[0]):
        top = i * dilation[0]
        rows = slice(top, top + stride[0] * (out[0] - 1) + 1, stride[0])
        for j in range(kernel[1]):
            left = j * dilation[1]
            yield i, j, rows, slice(left, left + stride[1] * (out[1] - 1) + 1, stride[1])


def im2col(
    x: NDArray[Any], kernel_size: IntPair, stride: IntPair = 1, padding: IntPair = 0, dilation: IntPair = 1
) -> NDArray[Any]:
    """Lay every patch that a kernel visits out as a column.

    Row (c·KH + i)·KW + j holds what tap (i, j) sees in channel c; column (n·OH + p)·OW + q is the patch of
    picture n at place (p, q). With the kernels as rows, (O, C·KH·KW), a convolution is ``kernels @ columns``
    (Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks for document
    processing").

    Args:
        x: pictures, (N, C, H, W), of any dtype.
        kernel_size, stride, padding, dilation: a number or a (height, width) pair; padding is with zeros.

    Returns:
        (C*KH*KW, N*OH*OW), a new array of x's dtype.

    Raises:
        ValueError: not four axes, an argument out of range, or a kernel larger than the padded input.

    >>> x = np.arange(9).reshape(1, 1, 3, 3)
    >>> print(im2col(x, kernel_size=2))
    [[0 1 3 4]
     [1 2 4 5]
     [3 4 6 7]
     [4 5 7 8]]
    """
    x = np.asarray(x)
    check_images("im2col", x)
    kernel, step, edges, spacing = _arguments("im2col", kernel_size, stride, padding, dilation)
    out = output_hw("im2col", x.shape, kernel, step, spacing, edges)
    batch, channels = x.shape[:2]
    padded = pad_images(x, edges).transpose(1, 0, 2, 3)  # (C, N, H + 2P, W + 2P)
    columns = np.empty((channels, *kernel, batch, *out), dtype=x.dtype)  # (C, KH, KW, N, OH, OW)
    for i, j, rows, cols in taps(kernel, step, spacing, out):
        columns[:, i, j] = padded[:, :, rows, cols]
    return columns.reshape(channels * kernel[0] * kernel[1], batch * out[0] * out[1])


def col2im(
    columns: NDArray[Any],
    input_shape: tuple[int, int, int, int],
    kernel_size: IntPair,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> NDArray[Any]:
    """Add every column back onto the patch it came from: the adjoint of `im2col`.

    Not its inverse: a pixel seen by several taps receives the sum of their values, so that
    ⟨im2col(x), c⟩ = ⟨x, col2im(c)⟩ for all x and c: what a gradient does on its way back through a kernel.

    Args:
        columns: (C*KH*KW, N*OH*OW).
        input_shape: (N, C, H, W) of the pictures.
        kernel_size, stride, padding, dilation: as given to `im2col`.

    Returns:
        (N, C, H, W), a new array of the columns' dtype.

    Raises:
        ValueError: `columns` has another shape than `im2col` gives for these arguments.

    >>> columns = im2col(np.ones((1, 1, 3, 3)), kernel_size=2)
    >>> print(col2im(columns, (1, 1, 3, 3), kernel_size=2)[0, 0])  # how many 2×2 patches see each pixel
    [[1. 2. 1.]
     [2. 4. 2.]
     [1. 2. 1.]]
    """
    columns = np.asarray(columns)
    kernel, step, edges, spacing = _arguments("col2im", kernel_size, stride, padding, dilation)
    if len(input_shape) != 4:
        raise ValueError(f"col2im got input_shape {input_shape}: expected 4 axes, (N, C, H, W)")
    batch, channels, height, width = input_shape
    out = output_hw("col2im", input_shape, kernel, step, spacing, edges)
    expected = channels * kernel[0] * kernel[1], batch * out[0] * out[1]
    if columns.shape != expected:
        raise ValueError(
            f"col2im got columns {columns.shape}: input {tuple(input_shape)} and kernel {kernel} expect {expected}"
        )
    columns = columns.reshape(channels, *kernel, batch, *out)  # (C, KH, KW, N, OH, OW)
    (top, bottom), (left, right) = edges
    padded = np.zeros((channels, batch, top + height + bottom, left + width + right), dtype=columns.dtype)
    for i, j, rows, cols in taps(kernel, step, spacing, out):
        padded[:, :, rows, cols] += columns[:, i, j]
    x = padded[:, :, top : top + height, left : left + width].transpose(1, 0, 2, 3)
    return np.ascontiguousarray(x)


def _arguments(
    owner: str, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair
) -> tuple[Pair, Pair, Edges, Pair]:
    """The four arguments as (kernel, stride, edges, dilation), checked."""
    vertical, horizontal = pair(owner, "padding", padding, at_least=0)
    return (
        pair(owner, "kernel_size", kernel_size, at_least=1),
        pair(owner, "stride", stride, at_least=1),
        ((vertical, vertical), (horizontal, horizontal)),
        pair(owner, "dilation", dilation, at_least=1),
    )

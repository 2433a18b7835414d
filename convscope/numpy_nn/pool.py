"""Pooling: feature maps (N, C, H, W) -> smaller maps, each value the largest or the mean of a window."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from convscope.numpy_nn.im2col import taps
from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.shapes import Array, Edges, IntPair, Pair, check_images, kept, pad_images, pair
from convscope.numpy_nn.workers import pieces


class _Pool2D(Layer):
    """What both poolings share: where the windows lie.

    The number of windows along an axis is floor((H + 2P - K) / S) + 1. With `ceil_mode` it is rounded up
    instead, so that windows may hang over the padding, save for a last one that would start past the input
    (PyTorch's rule).
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        self.kernel_size = pair(kind, "kernel_size", kernel_size, at_least=1)
        self.stride = self.kernel_size if stride is None else pair(kind, "stride", stride, at_least=1)
        self.padding = pair(kind, "padding", padding, at_least=0)
        self.ceil_mode = ceil_mode
        half = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        if self.padding[0] > half[0] or self.padding[1] > half[1]:
            raise ValueError(
                f"{kind} got padding {self.padding} with kernel {self.kernel_size}: "
                f"expected at most half of it, {half}, or a window could hold nothing but padding"
            )

    def _place(self, x: Array) -> None:
        """Work out `_out`, the (OH, OW) windows over `x`, and `_edges`, the padding that they need."""
        kind = type(self).__name__
        check_images(kind, x)
        self._shape = x.shape
        out: list[int] = []
        edges: list[Pair] = []
        for size, kernel, stride, padding in zip(x.shape[2:], self.kernel_size, self.stride, self.padding, strict=True):
            free = size + 2 * padding - kernel
            count = (free + (stride - 1 if self.ceil_mode else 0)) // stride + 1
            if self.ceil_mode and (count - 1) * stride >= size + padding:
                count -= 1
            if count < 1:
                padded = tuple(n + 2 * p for n, p in zip(x.shape[2:], self.padding, strict=True))
                raise ValueError(
                    f"{kind} got input {x.shape}: kernel {self.kernel_size}, larger than the padded input {padded}"
                )
            overhang = max(0, (count - 1) * stride - free)
            out.append(count)
            edges.append((padding, padding + overhang))
        self._out: Pair = out[0], out[1]
        self._edges: Edges = edges[0], edges[1]

    def _taps(self) -> Iterator[tuple[slice, slice]]:
        """For each tap, row by row: the rows and columns of the padded input that it meets."""
        return ((rows, columns) for _, _, rows, columns in taps(self.kernel_size, self.stride, (1, 1), self._out))

    def _clear(self, padded: Array) -> None:
        """Zeros, unless the windows meet every pixel once, so that each will be given its gradient."""
        covered = self._out[0] * self.stride[0], self._out[1] * self.stride[1]
        if self.stride != self.kernel_size or covered != padded.shape[2:]:
            padded.fill(0)

    def _give(self, places: Array, share: Array) -> None:
        """Add to the gradient of the pixels that one tap meets; where windows do not overlap, nothing is there yet."""
        if self.stride[0] < self.kernel_size[0] or self.stride[1] < self.kernel_size[1]:
            places += share
        else:
            places[...] = share

    def _empty_gradient(self, dy: Array) -> Array:
        """Room for the padded input's gradient, of any content."""
        batch, channels, height, width = self._shape
        return np.empty((batch, channels, height + sum(self._edges[0]), width + sum(self._edges[1])), dtype=dy.dtype)

    def _cut(self, padded: Array) -> Array:
        """The padded gradient without its padding."""
        top, left = self.padding
        return np.ascontiguousarray(padded[:, :, top : top + self._shape[2], left : left + self._shape[3]])


class MaxPool2D(_Pool2D):
    """Keep the largest value of each window; its gradient goes back to where that value was.

    y[n, c, p, q] = max over i < KH, j < KW of x[n, c, p·S + i - P, q·S + j - P]

    Of equal values the first, row by row, is the one that wins. Where windows overlap, a pixel that wins in
    several receives the sum of their gradients. Padding never wins, and NaN always does (all as in PyTorch).

    Args:
        kernel_size: height and width of the window, a number or a pair.
        stride: from one window to the next; the kernel size if None.
        padding: at each edge, at most half the kernel.
        ceil_mode: keep the windows that hang over the far edge.

    Raises:
        ValueError: an argument out of range; a call with an input that is not (N, C, H, W) or too small.

    >>> x = np.array([[[[1.0, 3, 2, 2], [5, 4, 2, 2]]]])
    >>> pool = MaxPool2D(2)
    >>> print(pool(x)[0, 0])
    [[5. 2.]]
    >>> print(pool.backward(np.array([[[[10.0, 20.0]]]]))[0, 0])
    [[ 0.  0. 20.  0.]
     [10.  0.  0.  0.]]
    """

    def _forward(self, x: Array) -> Array:
        self._place(x)
        y = np.empty((*x.shape[:2], *self._out), dtype=x.dtype)
        # where all is -inf, the first tap inside the picture wins, (OH, OW)
        first_row, first_column = (
            np.maximum(p - s * np.arange(n), 0) for p, s, n in zip(self.padding, self.stride, self._out, strict=True)
        )
        first = first_row[:, None] * self.kernel_size[1] + first_column
        # the tap that holds the winner, (N, C, OH, OW)
        self._winner = winner = np.empty(y.shape, np.min_scalar_type(math.prod(self.kernel_size)))

        def work(here: slice) -> None:
            padded = pad_images(x[here], self._edges, value=-np.inf)
            best, place = y[here], winner[here]
            best[...] = -np.inf
            place[...] = first
            for tap, (rows, columns) in enumerate(self._taps()):
                value = np.ascontiguousarray(padded[:, :, rows, columns])
                wins = (value > best) | np.isnan(value)
                np.maximum(best, value, out=best)
                np.maximum(place, wins * place.dtype.type(tap), out=place)  # the last that won

        pieces(work, x.shape)
        return y

    def _backward(self, dy: Array) -> Array:
        dpadded, winner = self._empty_gradient(dy), self._winner

        def work(here: slice) -> None:
            self._clear(dpadded[here])
            for tap, (rows, columns) in enumerate(self._taps()):
                self._give(dpadded[here, :, rows, columns], kept(dy[here], winner[here] == tap))

        pieces(work, dpadded.shape)
        return self._cut(dpadded)


class AveragePool2D(_Pool2D):
    """Replace each window by its mean; its gradient is shared out equally.

    y[n, c, p, q] = (Σ_i Σ_j x[n, c, p·S + i - P, q·S + j - P]) / pixels(p, q)

    `pixels` counts the window's pixels in the padded input, or in the bare one without `count_include_pad`;
    what hangs over the padding under `ceil_mode` never counts (as in PyTorch).

    Args:
        kernel_size, stride, padding, ceil_mode: as for `MaxPool2D`.
        count_include_pad: whether the zeros of the padding count as pixels.

    Raises:
        ValueError: as for `MaxPool2D`.

    >>> x = np.array([[[[1.0, 3, 2, 2], [5, 4, 2, 2]]]])
    >>> print(AveragePool2D(2)(x)[0, 0])
    [[3.25 2.  ]]
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def _forward(self, x: Array) -> Array:
        self._place(x)
        y: Array = np.zeros((*x.shape[:2], *self._out), dtype=x.dtype)
        self._pixels = np.outer(self._extent(0), self._extent(1)).astype(x.dtype)  # (OH, OW)

        def work(here: slice) -> None:
            padded, mean = pad_images(x[here], self._edges), y[here]
            for rows, columns in self._taps():
                mean += padded[:, :, rows, columns]
            mean /= self._pixels

        pieces(work, x.shape)
        return y

    def _backward(self, dy: Array) -> Array:
        dpadded = self._empty_gradient(dy)

        def work(here: slice) -> None:
            self._clear(dpadded[here])
            share = dy[here] / self._pixels
            for rows, columns in self._taps():
                self._give(dpadded[here, :, rows, columns], share)

        pieces(work, dpadded.shape)
        return self._cut(dpadded)

    def _extent(self, axis: int) -> NDArray[np.float64]:
        """How many pixels of each window count along one axis: (OH,) or (OW,)."""
        size, padding = self._shape[2 + axis], self.padding[axis]
        start = self.stride[axis] * np.arange(self._out[axis], dtype=np.float64) - padding
        margin = padding if self.count_include_pad else 0
        stop = np.minimum(start + self.kernel_size[axis], size + margin)
        extent: NDArray[np.float64] = stop - np.maximum(start, -margin)
        return extent


class GlobalMaxPool2D(MaxPool2D):
    """The largest value of each feature map: (N, C, H, W) -> (N, C, 1, 1); max pooling by one window over all of it.

    >>> print(GlobalMaxPool2D()(np.array([[[[1.0, 3], [5, 4]]]])))
    [[[[5.]]]]
    """

    def __init__(self) -> None:
        super().__init__(1)

    def _forward(self, x: Array) -> Array:
        check_images("GlobalMaxPool2D", x)
        self.kernel_size = self.stride = x.shape[2], x.shape[3]
        return super()._forward(x)


class GlobalAveragePool2D(Layer):
    """The mean of each feature map: (N, C, H, W) -> (N, C, 1, 1) (Lin, Chen & Yan 2013, section 3.2).

    >>> GlobalAveragePool2D()(np.ones((2, 8, 5, 7))).shape
    (2, 8, 1, 1)
    """

    def _forward(self, x: Array) -> Array:
        check_images("GlobalAveragePool2D", x)
        self._shape = x.shape
        y: Array = x.mean(axis=(2, 3), keepdims=True)
        return y

    def _backward(self, dy: Array) -> Array:
        share = dy / (self._shape[2] * self._shape[3])  # (N, C, 1, 1)
        return np.broadcast_to(share, self._shape).copy()

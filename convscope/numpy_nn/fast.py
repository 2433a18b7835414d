"""The same convolution, fast: pictures and kernels in, feature maps or gradients out, by blocks, on all cores.

`im2col.py` is the page to read first; this one computes the same sums in another order. What makes it fast:

1. **Columns along the width only.** im2col copies every pixel KH·KW times. Here each row of the picture is unrolled for
   the KW taps of one kernel row; the next kernel row sees the same buffer one row further down, which is a view, not a
   copy: a third of the traffic for 3×3. The product with each kernel row is one BLAS call, their sum the convolution.
2. **One block at a time.** A block is as many pictures as give BLAS enough columns to work on, and no more, so that
   buffer, product and output stay in the cache from one step to the next.
3. **One block a core.** BLAS and NumPy's copies release Python's lock, so plain threads share the batch, each with a
   buffer of its own and BLAS kept to one thread.
4. **No padding.** The zeros around the pictures are written into the buffer once; each block overwrites the rest.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from convscope.numpy_nn.shapes import Array, Edges, Pair

COLUMNS = 1024  # of one product: fewer leave BLAS idle, more leave the cache
MERGE = 64  # rows of a kernel row's columns; with fewer, all kernel rows share one product


@dataclass(frozen=True)
class Geometry:
    """Where kernels meet pictures: everything but batch, channels and numbers; each a (vertical, horizontal) pair."""

    size: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    edges: Edges
    out: Pair

    def block(self, batch: int) -> int:
        """How many pictures make one block."""
        return max(1, min(batch, COLUMNS // (self.out[0] * self.out[1])))

    @property
    def phases(self) -> dict[int, int]:
        """For each remainder r of kernel rows by the stride: how many buffer rows they need.

        Kernel row i meets picture rows i·D, i·D + S, …: those of remainder r = i·D mod S, from the (i·D div S)-th on.
        """
        needed: dict[int, int] = {}
        for i in range(self.kernel[0]):
            quotient, remainder = divmod(i * self.dilation[0], self.stride[0])
            needed[remainder] = max(needed.get(remainder, 0), quotient + self.out[0])
        return needed

    def meets(self, axis: int, offset: int, count: int) -> tuple[slice, slice]:
        """Of `count` places offset, offset + S, … on the padded axis: (places inside the picture, its pixels there)."""
        step, before = self.stride[axis], self.edges[axis][0]
        first = max(0, -(-(before - offset) // step))
        last = min(count, -(-(before + self.size[axis] - offset) // step))
        start = first * step + offset - before
        return slice(first, max(first, last)), slice(start, start + max(0, last - first) * step, step)


class Buffer:
    """The columns of one block: for each phase (KW, C, rows, B, OW), zero where a tap lies in the padding."""

    def __init__(self, geometry: Geometry, channels: int, block: int, dtype: Any) -> None:
        self.geometry, self.channels, self.block = geometry, channels, block
        width = geometry.out[1]
        self.phases = {
            r: np.zeros((geometry.kernel[1], channels, rows, block, width), dtype)
            for r, rows in geometry.phases.items()
        }

    def gather(self, x: Array) -> None:
        """Unroll the pictures of one block, (B, C, H, W)."""
        for here, there in self._meetings(x):
            here[...] = there

    def scatter(self, dx: Array) -> None:
        """Add every column back to the pixel that it came from, in (B, C, H, W): the adjoint of `gather`."""
        for here, there in self._meetings(dx):
            there += here

    def rows(self, i: int) -> Array:
        """What kernel row i meets: a view, (KW·C, OH·B·OW)."""
        quotient, remainder = divmod(i * self.geometry.dilation[0], self.geometry.stride[0])
        phase = self.phases[remainder]
        height, places = self.geometry.out[0], phase.shape[3] * phase.shape[4]
        flat = phase.reshape(phase.shape[0] * phase.shape[1], -1)
        return flat[:, quotient * places : (quotient + height) * places]

    def _meetings(self, x: Array) -> Iterator[tuple[Array, Array]]:
        """(part of the buffer, part of the pictures) that hold the same pixels, both (C, rows, B, columns)."""
        pictures = x.transpose(1, 2, 0, 3)  # (C, H, B, W)
        for remainder, phase in self.phases.items():
            rows, lines = self.geometry.meets(0, remainder, phase.shape[2])
            for j in range(self.geometry.kernel[1]):
                columns, pixels = self.geometry.meets(1, j * self.geometry.dilation[1], phase.shape[4])
                yield phase[j][:, rows, : len(x), columns], pictures[:, lines, :, pixels]


def forward(x: Array, weight: Array, bias: Array | None, geometry: Geometry, groups: int = 1) -> Array:
    """The convolution of pictures (N, C, H, W) with kernels (O, C/G, KH, KW): (N, O, OH, OW)."""
    batch, channels, outputs = len(x), x.shape[1] // groups, len(weight) // groups
    height, width = geometry.out
    block = geometry.block(batch)
    kernels = _by_row(weight, groups)  # (G, KH, O/G, KW·C/G)
    merge = kernels.shape[1] > 1 and kernels.shape[3] < MERGE
    merged = kernels.transpose(0, 2, 1, 3).reshape(groups, outputs, -1)  # (G, O/G, KH·KW·C/G)
    y = np.empty((batch, len(weight), height, width), x.dtype)

    def work(starts: range) -> None:
        buffer = Buffer(geometry, channels, block, x.dtype)
        places = height * block * width
        product, partial = (np.empty((outputs, places), x.dtype) for _ in range(2))
        columns = np.empty((merged.shape[2], places), x.dtype) if merge else None
        for start in starts:
            for g in range(groups):
                buffer.gather(x[start : start + block, g * channels : (g + 1) * channels])
                target = y[start : start + block, g * outputs : (g + 1) * outputs]
                out = target.reshape(outputs, places) if block == 1 else product
                if columns is not None:
                    np.concatenate([buffer.rows(i) for i in range(kernels.shape[1])], out=columns)
                    np.matmul(merged[g], columns, out=out)
                else:
                    np.matmul(kernels[g, 0], buffer.rows(0), out=out)
                    for i in range(1, kernels.shape[1]):
                        np.matmul(kernels[g, i], buffer.rows(i), out=partial)
                        out += partial
                if block > 1:
                    target[...] = out.reshape(outputs, height, block, width)[:, :, : len(target)].transpose(2, 0, 1, 3)
                if bias is not None:
                    target += bias[g * outputs : (g + 1) * outputs, None, None]

    _share(work, batch, block, operations=y.size * weight[0].size)
    return y


def weight_gradient(x: Array, dy: Array, geometry: Geometry, groups: int = 1) -> Array:
    """dL/dweight, (O, C/G, KH, KW), from the pictures and dL/dy, (N, O, OH, OW)."""
    batch, channels, outputs = len(x), x.shape[1] // groups, dy.shape[1] // groups
    block, (rows, taps) = geometry.block(batch), geometry.kernel
    parts: list[Array] = []

    def work(starts: range) -> None:
        buffer = Buffer(geometry, channels, block, x.dtype)
        total = np.zeros((groups, rows, outputs, taps * channels), x.dtype)
        for start in starts:
            for g in range(groups):
                buffer.gather(x[start : start + block, g * channels : (g + 1) * channels])
                slopes = _slopes(dy[start : start + block, g * outputs : (g + 1) * outputs], block)
                for i in range(rows):
                    total[g, i] += slopes @ buffer.rows(i).T
        parts.append(total)

    _share(work, batch, block, operations=dy.size * channels * rows * taps)
    total: Array = np.sum(parts, axis=0).reshape(groups, rows, outputs, taps, channels)
    return total.transpose(0, 2, 4, 1, 3).reshape(groups * outputs, channels, rows, taps)


def input_gradient(dy: Array, weight: Array, geometry: Geometry, groups: int = 1) -> Array:
    """dL/dx, (N, C, H, W), from dL/dy, (N, O, OH, OW), and the kernels, (O, C/G, KH, KW)."""
    mirrored = _mirrored(geometry)
    channels, outputs = weight.shape[1], len(weight) // groups
    if mirrored is not None:
        # with stride 1 it is a convolution too: of dy, with every kernel turned by 180°, and input and output swapped
        turned = weight.reshape(groups, outputs, channels, *geometry.kernel)[..., ::-1, ::-1].swapaxes(1, 2)
        return forward(dy, turned.reshape(groups * channels, outputs, *geometry.kernel), None, mirrored, groups)
    batch, block = len(dy), geometry.block(len(dy))
    kernels = _by_row(weight, groups)
    dx = np.zeros((batch, groups * channels, *geometry.size), dy.dtype)

    def work(starts: range) -> None:
        buffer = Buffer(geometry, channels, block, dy.dtype)
        for start in starts:
            for g in range(groups):
                slopes = _slopes(dy[start : start + block, g * outputs : (g + 1) * outputs], block)
                for phase in buffer.phases.values():
                    phase.fill(0)
                for i in range(geometry.kernel[0]):
                    rows = buffer.rows(i)
                    rows += kernels[g, i].T @ slopes
                buffer.scatter(dx[start : start + block, g * channels : (g + 1) * channels])

    _share(work, batch, block, operations=dy.size * weight[0].size)
    return dx


def _by_row(weight: Array, groups: int) -> Array:
    """Kernels (O, C/G, KH, KW) as one matrix a group and kernel row, (G, KH, O/G, KW·C/G), in the order of a buffer."""
    outputs, channels, rows, taps = weight.shape
    split = weight.reshape(groups, outputs // groups, channels, rows, taps).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(split).reshape(groups, rows, outputs // groups, taps * channels)


def _slopes(dy: Array, block: int) -> Array:
    """dL/dy of one block, (B, O, OH, OW), in the order of a buffer's columns: (O, OH·block·OW); zeros where none is."""
    batch, outputs, height, width = dy.shape
    if block == 1:
        return dy.reshape(outputs, height * width)
    slopes = np.zeros((outputs, height, block, width), dy.dtype)
    slopes[:, :, :batch] = dy.transpose(1, 2, 0, 3)
    return slopes.reshape(outputs, -1)


def _mirrored(geometry: Geometry) -> Geometry | None:
    """The geometry in which dy is the input and dx the output; None where that is no plain convolution."""
    if geometry.stride != (1, 1):
        return None
    spans = [d * (k - 1) for d, k in zip(geometry.dilation, geometry.kernel, strict=True)]
    edges = tuple((span - before, span - after) for span, (before, after) in zip(spans, geometry.edges, strict=True))
    if min(min(edge) for edge in edges) < 0:
        return None
    (top, bottom), (left, right) = edges
    size = geometry.size
    return Geometry(geometry.out, geometry.kernel, (1, 1), geometry.dilation, ((top, bottom), (left, right)), size)


def _share(work: Callable[[range], None], batch: int, block: int, operations: int) -> None:
    """Run `work` on the first pictures of the blocks, in as many threads as BLAS may use and are worth their start."""
    starts = range(0, batch, block)
    threads = min(_blas_threads(), len(starts), 1 + operations // 4_000_000)
    with _controller().limit(limits=1):
        if threads <= 1:
            work(starts)
            return
        shares = [starts[len(starts) * t // threads : len(starts) * (t + 1) // threads] for t in range(threads)]
        list(_pool(threads).map(work, shares))  # a list, so that an error in a thread comes out here


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="convscope-conv")


@cache
def _controller() -> Any:
    """Of the BLAS libraries now loaded."""
    return ThreadpoolController().select(user_api="blas")


def _blas_threads() -> int:
    """How many threads BLAS would use, which OMP_NUM_THREADS and threadpoolctl can limit."""
    return max((library["num_threads"] for library in _controller().info()), default=os.cpu_count() or 1)

"""The same convolution, fast: pictures and kernels in, feature maps or gradients out.

`im2col.py` is the page to read first; what is here computes the same sums in another order. What makes it fast, and how
many times faster a forward pass is with each than without (medians on two cores, `benchmarks/bench_numpy_nn.py`, which
says on which shapes; docs/numpy_nn.md has the whole table):

1. **One block at a time** (2.4 to 3.0). A block is as many pictures as give BLAS enough columns to work on, and no
   more, but at least one: up to some 64×64 pixels buffer, product and output stay in the cache from one step to the
   next.
2. **One block a core** (1.6 to 1.9 on two, `workers.py`). Threads share the batch, each with its own buffers and with
   BLAS on one thread; a single picture is one block.
3. **Fewer products** (1.1 to 1.3, with AVX2 1.5) for 3×3 kernels with stride 1 and many channels: 16 for
   every 36 (`winograd.py`).
4. **No columns for 1×1 kernels** (1.0 to 1.2): the pixels that they meet are the columns already.
5. **Columns along the width only** (1.0 to 1.1). im2col copies every pixel KH·KW times. Here each row of the picture is
   unrolled for the KW taps of one kernel row; the next kernel row sees the same buffer one row further down, which is a
   view, not a copy. The product with each kernel row is one BLAS call, their sum the convolution.
6. **No padding** (1.0 to 1.1). The zeros around the pictures are written into the buffer once; each block overwrites
   the rest.
7. **The smaller side is unrolled** (dL/dx of a first layer: 0.9 to 1.1 with AVX-512, 1.5 with AVX2). That is a
   convolution of dy, with stride 1, or columns that are added up where they came from: the first unrolls dy, the second
   dx.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convscope.numpy_nn import winograd
from convscope.numpy_nn.im2col import meets
from convscope.numpy_nn.shapes import Array, Edges, Pair
from convscope.numpy_nn.workers import add, share

COLUMNS = 1024  # of one product: fewer leave BLAS idle, more leave the cache
MERGE = 64  # rows of a kernel row's columns; with fewer, all kernel rows share one product
TRANSFORM = 40  # products for each sum, C·O / (C + O), from which Winograd's way pays


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

    @property
    def pointwise(self) -> bool:
        """Whether every output sees one pixel, which lies on the picture."""
        return self.kernel == (1, 1) and self.edges == ((0, 0), (0, 0))

    def transforms(self, channels: int, outputs: int) -> bool:
        """Whether Winograd's way is possible and pays."""
        three = self.kernel == (3, 3) and self.stride == self.dilation == (1, 1)
        return three and channels * outputs >= TRANSFORM * (channels + outputs)

    def mirrored(self) -> "Geometry | None":
        """The geometry in which dy is the input and dx the output; None where that is no plain convolution."""
        if self.stride != (1, 1):
            return None
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        (top, bottom), (left, right) = (
            (span - before, span - after) for span, (before, after) in zip(spans, self.edges, strict=True)
        )
        if min(top, bottom, left, right) < 0:
            return None
        return Geometry(self.out, self.kernel, (1, 1), self.dilation, ((top, bottom), (left, right)), self.size)


class Buffer:
    """The columns of one block: for each phase (KW, C, rows, B, OW), zero where a tap lies in the padding."""

    def __init__(self, geometry: Geometry, channels: int, block: int, dtype: Any) -> None:
        self.geometry = geometry
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
        (height, width), (down, across) = self.geometry.size, self.geometry.stride
        (top, _), (left, _) = self.geometry.edges
        for remainder, phase in self.phases.items():
            rows, lines = meets(height, top, down, remainder, phase.shape[2])
            for j in range(self.geometry.kernel[1]):
                columns, pixels = meets(width, left, across, j * self.geometry.dilation[1], phase.shape[4])
                yield phase[j][:, rows, : len(x), columns], pictures[:, lines, :, pixels]


def forward(x: Array, weight: Array, bias: Array | None, geometry: Geometry, groups: int = 1) -> Array:
    """The convolution of pictures (N, C, H, W) with kernels (O, C/G, KH, KW): (N, O, OH, OW)."""
    batch, channels, outputs = len(x), weight.shape[1], len(weight) // groups
    if geometry.transforms(channels, outputs):
        return winograd.forward(x, weight, bias, geometry.edges, geometry.out, groups)
    if geometry.pointwise:
        return _pointwise(_met(x, geometry), weight.reshape(groups, outputs, channels), bias)
    block, (height, width) = geometry.block(batch), geometry.out
    y = np.empty((batch, len(weight), height, width), x.dtype)
    kernels = _by_row(weight, groups)  # (G, KH, O/G, KW·C/G)
    merge = kernels.shape[1] > 1 and kernels.shape[3] < MERGE
    merged = kernels.transpose(0, 2, 1, 3).reshape(groups, outputs, -1)  # (G, O/G, KH·KW·C/G)
    if bias is not None:  # one more column, of kernels that meet a row of ones
        merged = np.concatenate([merged, bias.reshape(groups, outputs, 1)], axis=2)
    rows = kernels.shape[1] * kernels.shape[3]

    def work(starts: Iterable[int]) -> None:
        buffer = Buffer(geometry, channels, block, x.dtype)
        places = height * block * width
        product, partial = (np.empty((outputs, places), x.dtype) for _ in range(2))
        columns = np.empty((merged.shape[2] if merge else 0, places), x.dtype)
        columns[rows:] = 1
        for start in starts:
            for g in range(groups):
                buffer.gather(x[start : start + block, g * channels : (g + 1) * channels])
                here = slice(g * outputs, (g + 1) * outputs)
                target = y[start : start + block, here]
                out = target.reshape(outputs, places) if block == 1 else product
                if merge:
                    np.concatenate([buffer.rows(i) for i in range(kernels.shape[1])], out=columns[:rows])
                    np.matmul(merged[g], columns, out=out)
                else:
                    np.matmul(kernels[g, 0], buffer.rows(0), out=out)
                    for i in range(1, kernels.shape[1]):
                        np.matmul(kernels[g, i], buffer.rows(i), out=partial)
                        out += partial
                    if bias is not None:
                        out += bias[here, None]
                if block > 1:
                    target[...] = out.reshape(outputs, height, block, width)[:, :, : len(target)].transpose(2, 0, 1, 3)

    share(work, batch, block, operations=y.size * weight[0].size)
    return y


def weight_gradient(x: Array, dy: Array, geometry: Geometry, groups: int = 1) -> Array:
    """dL/dweight, (O, C/G, KH, KW), from the pictures and dL/dy, (N, O, OH, OW)."""
    batch, channels, outputs = len(x), x.shape[1] // groups, dy.shape[1] // groups
    if geometry.transforms(channels, outputs):
        return winograd.weight_gradient(x, dy, geometry.edges, groups)
    if geometry.pointwise:
        return _pointwise_gradient(_met(x, geometry), dy, groups).reshape(groups * outputs, channels, 1, 1)
    block, (rows, taps) = geometry.block(batch), geometry.kernel

    def work(starts: Iterable[int]) -> Array:
        buffer = Buffer(geometry, channels, block, x.dtype)
        slopes = np.zeros((outputs, geometry.out[0], block, geometry.out[1]), x.dtype)
        total = np.zeros((groups, rows, outputs, taps * channels), x.dtype)
        for start in starts:
            for g in range(groups):
                buffer.gather(x[start : start + block, g * channels : (g + 1) * channels])
                slope = _slopes(dy[start : start + block, g * outputs : (g + 1) * outputs], slopes)
                for i in range(rows):
                    total[g, i] += slope @ buffer.rows(i).T
        return total

    total = add(share(work, batch, block, operations=dy.size * channels * rows * taps, fixed=True))
    total = total.reshape(groups, rows, outputs, taps, channels)
    return total.transpose(0, 2, 4, 1, 3).reshape(groups * outputs, channels, rows, taps)


def input_gradient(dy: Array, weight: Array, geometry: Geometry, groups: int = 1) -> Array:
    """dL/dx, (N, C, H, W), from dL/dy, (N, O, OH, OW), and the kernels, (O, C/G, KH, KW)."""
    batch, channels, outputs = len(dy), weight.shape[1], len(weight) // groups
    mirrored = geometry.mirrored()
    if mirrored is not None and outputs <= channels * (1 + geometry.kernel[0]):
        # with stride 1 it is a convolution too: of dy, with every kernel turned by 180°, and input and output swapped
        turned = weight.reshape(groups, outputs, channels, *geometry.kernel)[..., ::-1, ::-1].swapaxes(1, 2)
        return forward(dy, turned.reshape(groups * channels, outputs, *geometry.kernel), None, mirrored, groups)
    dx = np.zeros((batch, groups * channels, *geometry.size), dy.dtype)
    if geometry.pointwise:
        _met(dx, geometry)[...] = _pointwise(dy, weight.reshape(groups, outputs, channels).swapaxes(1, 2))
        return dx
    block = geometry.block(batch)
    kernels = _by_row(weight, groups)

    def work(starts: Iterable[int]) -> None:
        buffer = Buffer(geometry, channels, block, dy.dtype)
        slopes = np.zeros((outputs, geometry.out[0], block, geometry.out[1]), dy.dtype)
        for start in starts:
            for g in range(groups):
                slope = _slopes(dy[start : start + block, g * outputs : (g + 1) * outputs], slopes)
                for phase in buffer.phases.values():
                    phase.fill(0)
                for i in range(geometry.kernel[0]):
                    rows = buffer.rows(i)
                    rows += kernels[g, i].T @ slope
                buffer.scatter(dx[start : start + block, g * channels : (g + 1) * channels])

    share(work, batch, block, operations=dy.size * weight[0].size)
    return dx


def _by_row(weight: Array, groups: int) -> Array:
    """Kernels (O, C/G, KH, KW) as one matrix a group and kernel row, (G, KH, O/G, KW·C/G), in the order of a buffer."""
    outputs, channels, rows, taps = weight.shape
    split = weight.reshape(groups, outputs // groups, channels, rows, taps).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(split).reshape(groups, rows, outputs // groups, taps * channels)


def _slopes(dy: Array, room: Array) -> Array:
    """dL/dy of one block, (B, O, OH, OW), in the order of a buffer's columns: (O, OH·block·OW); zeros where none is."""
    batch, outputs, height, width = dy.shape
    if room.shape[2] == 1:
        return dy.reshape(outputs, height * width)
    room[:, :, :batch] = dy.transpose(1, 2, 0, 3)
    room[:, :, batch:] = 0
    return room.reshape(outputs, -1)


def _met(x: Array, geometry: Geometry) -> Array:
    """Of pictures (N, C, H, W) the pixels that 1×1 kernels meet: a view, (N, C, OH, OW)."""
    return x[:, :, :: geometry.stride[0], :: geometry.stride[1]]


def _pointwise(x: Array, kernels: Array, bias: Array | None = None) -> Array:
    """One matrix product a picture: (N, C, H, W) and kernels (G, O/G, C/G) -> (N, O, H, W)."""
    groups, outputs, channels = kernels.shape
    y = np.empty((len(x), groups * outputs, *x.shape[2:]), x.dtype)

    def work(starts: Iterable[int]) -> None:
        for n in starts:
            columns = x[n].reshape(groups, channels, -1)
            np.matmul(kernels, columns, out=y[n].reshape(groups, outputs, -1))
            if bias is not None:
                y[n] += bias[:, None, None]

    share(work, len(x), 1, operations=y.size * channels)
    return y


def _pointwise_gradient(x: Array, dy: Array, groups: int) -> Array:
    """dL/dkernels of `_pointwise`: (G, O/G, C/G)."""
    shape = groups, dy.shape[1] // groups, x.shape[1] // groups

    def work(starts: Iterable[int]) -> Array:
        total = np.zeros(shape, x.dtype)
        for n in starts:
            total += dy[n].reshape(*shape[:2], -1) @ x[n].reshape(groups, shape[2], -1).swapaxes(1, 2)
        return total

    return add(share(work, len(x), 1, operations=dy.size * shape[2], fixed=True))

"""3×3 kernels in 16 multiplications for every 36: pictures and kernels in, feature maps or a weight gradient out.

Winograd's F(2×2, 3×3) (Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", section 4.1). Along one
axis, four pixels d of the padded picture and three taps g give two outputs y with four products instead of six:

    y = Aᵀ [(G g) ⊙ (Bᵀ d)]    G g  = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
                               Bᵀ d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
                               Aᵀ m = (m0 + m1 + m2, m1 - m2 - m3)

Applied along both axes, each of the 4×4 products becomes, over all channels and places, one matrix product. Only sums
and halves come on top of the usual arithmetic, but they mix the pixels of a tile: the result differs from the plain
page by rounding relative to the largest pixel and weight of the 4×4 tile, also where that pixel meets a weight of zero;
and an infinite pixel makes NaN of its neighbours (∞ - ∞).

Rows and columns are kept apart by parity from the start (`_split`): d0, d1, d2 and d3 are then slices of neighbours,
and the sums run over plain vectors. The pictures of a block lie innermost, and one column t of the 4×4 is done at a
time, so that what is in work stays in the cache.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from convscope.numpy_nn.im2col import meets
from convscope.numpy_nn.shapes import Array, Edges, Pair
from convscope.numpy_nn.workers import add, blas_alone, share

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
SPREAD: tuple[tuple[np.ufunc, int, int], ...] = (  # the rows of Bᵀ
    (np.subtract, 0, 2),
    (np.add, 1, 2),
    (np.subtract, 2, 1),
    (np.subtract, 1, 3),
)
PLACES = 1 << 16  # channels times places of one product: what is in work then fits into a core's cache
PICTURES = 16  # of a block, at most
_NO_EDGES = (0, 0), (0, 0)


def forward(x: Array, weight: Array, bias: Array | None, edges: Edges, out: Pair, groups: int = 1) -> Array:
    """The convolution, stride 1, of pictures (N, C, H, W) with kernels (O, C/G, 3, 3): (N, O, OH, OW)."""
    batch, channels, outputs = len(x), weight.shape[1], len(weight) // groups
    tiles, block = _tiles(batch, max(channels, outputs), out)
    with blas_alone():
        kernels = _both(G).astype(x.dtype) @ weight.reshape(groups, outputs * channels, 9).swapaxes(1, 2)
    kernels = kernels.reshape(groups, 4, 4, outputs, channels)  # G, column, row of the 4×4
    y = np.empty((batch, len(weight), *out), x.dtype)

    def work(starts: Iterable[int]) -> None:
        spread = _Spread(channels, tiles, block, x.dtype)
        products = np.empty((4, outputs, tiles[0] * tiles[1] * block), x.dtype)
        even, odd, more = (np.empty((2, outputs, *tiles, block), x.dtype) for _ in range(3))
        for start in starts:
            for g in range(groups):
                spread.begin(x[start : start + block, g * channels : (g + 1) * channels], edges)
                for t, sums in enumerate((even, odd, more, more)):
                    np.matmul(kernels[g, t], spread.columns(t), out=products)
                    _collect(products, sums)
                    if t == 1:  # along the columns too: (m0 + m1) + m2 and (m1 - m2) - m3, as they come
                        even += odd
                    if t == 2:
                        even += more
                    if t >= 2:
                        odd -= more
                here = slice(g * outputs, (g + 1) * outputs)
                target = y[start : start + block, here].transpose(1, 2, 3, 0)  # (O/G, OH, OW, B)
                for column, sums in ((0, even), (1, odd)):
                    if bias is not None:
                        sums += bias[here, None, None, None]
                    for row in (0, 1):
                        places = target[:, row::2, column::2]
                        places[...] = sums[row][tuple(slice(size) for size in places.shape)]

    share(work, batch, block, operations=y.size * weight[0].size)
    return y


def weight_gradient(x: Array, dy: Array, edges: Edges, groups: int = 1) -> Array:
    """dL/dweight of `forward`, (O, C/G, 3, 3), from the pictures and dL/dy: every step above, taken back."""
    batch, channels, outputs = len(x), x.shape[1] // groups, dy.shape[1] // groups
    tiles, block = _tiles(batch, max(channels, outputs), (dy.shape[2], dy.shape[3]))

    def work(starts: Iterable[int]) -> Array:
        spread = _Spread(channels, tiles, block, x.dtype)
        slopes = np.zeros((2, 2, outputs, *tiles, block), x.dtype)
        columns = np.empty((2, 2, outputs, *tiles, block), x.dtype)
        rows = np.empty((2, outputs, *tiles, block), x.dtype)
        total = np.zeros((groups, 4, 4, outputs, channels), x.dtype)
        for start in starts:
            if start + block > batch:
                slopes.fill(0)  # of the pictures that the last block lacks
            for g in range(groups):
                spread.begin(x[start : start + block, g * channels : (g + 1) * channels], edges)
                _split(dy[start : start + block, g * outputs : (g + 1) * outputs], _NO_EDGES, slopes)
                np.add(slopes[0], slopes[1], out=columns[0])
                np.subtract(slopes[0], slopes[1], out=columns[1])
                for t, (even, odd) in enumerate((slopes[0], *columns, slopes[1])):
                    places = spread.columns(t)
                    np.add(even, odd, out=rows[0])
                    np.subtract(even, odd, out=rows[1])
                    for row, slope in enumerate((even, *rows, odd)):
                        total[g, t, row] += slope.reshape(outputs, -1) @ places[row].T
        return total

    total = add(share(work, batch, block, operations=dy.size * channels * 9, fixed=True))
    back = _both(G * [[1], [1], [1], [-1]]).astype(x.dtype)  # m3 enters y with a minus
    with blas_alone():
        kernels = back.T @ total.reshape(groups, 16, outputs * channels)
    return np.ascontiguousarray(kernels.swapaxes(1, 2)).reshape(groups * outputs, channels, 3, 3)


class _Spread:
    """Bᵀ d B of one block: the 4×4 matrices whose columns, one at a time, meet the kernels."""

    def __init__(self, channels: int, tiles: Pair, block: int, dtype: Any) -> None:
        height, width = tiles
        self.phases = np.zeros((2, 2, channels, height + 1, width + 1, block), dtype)
        self.rows = np.empty((2, channels, height + 1, width, block), dtype)
        self.places = np.empty((4, channels, height, width, block), dtype)

    def begin(self, x: Array, edges: Edges) -> None:
        """Take the pictures of one block, (B, C, H, W)."""
        _split(x, edges, self.phases)

    def columns(self, t: int) -> Array:
        """Column t of the 4×4, as four matrices (4, C, places): valid until the next."""
        even, odd = self.phases
        pixels = even[..., :-1, :], odd[..., :-1, :], even[..., 1:, :], odd[..., 1:, :]
        combine, a, b = SPREAD[t]
        combine(pixels[a], pixels[b], out=self.rows)
        even, odd = self.rows
        pixels = even[:, :-1], odd[:, :-1], even[:, 1:], odd[:, 1:]
        for place, (combine, a, b) in zip(self.places, SPREAD, strict=True):
            combine(pixels[a], pixels[b], out=place)
        return self.places.reshape(4, self.places.shape[1], -1)


def _split(x: Array, edges: Edges, phases: Array) -> None:
    """Pictures (B, C, H, W) into (column parity, row parity, C, rows, columns, B); the padding there stays as it is."""
    pictures = x.transpose(1, 2, 3, 0)
    for column, row in np.ndindex(2, 2):
        phase = phases[column, row]
        above, lines = meets(x.shape[2], edges[0][0], 2, row, phase.shape[1])
        left, pixels = meets(x.shape[3], edges[1][0], 2, column, phase.shape[2])
        phase[:, above, left, : len(x)] = pictures[:, lines, pixels]


def _collect(products: Array, sums: Array) -> None:
    """Aᵀ m along the rows: (4, O, places) into (2, O, places)."""
    m0, m1, m2, m3 = products.reshape(4, *sums.shape[1:])
    np.add(m0, m1, out=sums[0])
    sums[0] += m2
    np.subtract(m1, m2, out=sums[1])
    sums[1] -= m3


def _both(g: Array) -> Array:
    """G along both axes at once, (column and row of the 4×4, taps of the kernel): (16, 9)."""
    both: Array = np.einsum("ri,cj->crij", g, g).reshape(16, 9)
    return both


def _tiles(batch: int, channels: int, out: Pair) -> tuple[Pair, int]:
    """How many 2×2 tiles cover an output, down and across; how many pictures make one block."""
    tiles = -(-out[0] // 2), -(-out[1] // 2)
    return tiles, max(1, min(batch, PICTURES, PLACES // (channels * tiles[0] * tiles[1])))

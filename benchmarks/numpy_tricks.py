"""What each trick of `convscope/numpy_nn/fast.py` buys: seconds of one pass with it and without it, side by side."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import medians
from convscope.numpy_nn import fast, winograd, workers

BATCH = 64
Shape = tuple[int, int, int, int, int]  # channels in, channels out, size, kernel, stride
Ways = dict[str, Callable[[Any], Any]]  # "with" the trick and "without" it: array (N, C, H, W) -> array
Change = tuple[Any, str, Any]  # of whom, which attribute, its value without the trick
WIDE: Shape = (64, 128, 32, 3, 2)
SMALL: Shape = (3, 64, 32, 3, 1)
DEEP: Shape = (128, 128, 16, 3, 1)
POINT: Shape = (64, 64, 32, 1, 1)


@contextmanager
def changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, the attribute has another value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def one_thread(work: Any, batch: int, block: int, operations: int) -> list[Any]:
    """`workers.share` without threads of ours."""
    with workers.blas_alone():
        return [work(range(0, batch, block))]


# trick -> (shape, what to change so that it is off)
TRICKS: dict[str, tuple[Shape, Change]] = {
    "columns along the width only": (WIDE, (fast, "MERGE", 1 << 30)),
    "one block at a time": (WIDE, (fast, "COLUMNS", 1 << 30)),
    "one block a core": (WIDE, (fast, "share", one_thread)),
    "no columns for 1×1": (POINT, (fast.Geometry, "pointwise", False)),
    "Winograd": (DEEP, (fast, "TRANSFORM", 1 << 30)),
    "Winograd, one block a core": (DEEP, (winograd, "share", one_thread)),
}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Of every trick: seconds with it and without it."""
    return {name: compare(*trick, BATCH, rounds) for name, trick in both_ways().items()}


def both_ways() -> dict[str, tuple[Ways, tuple[int, int, int]]]:
    """Every trick -> its two ways, and (C, H, W) of what they take."""
    switched = {name: (switch(*trick), _taken(trick[0])) for name, trick in TRICKS.items()}
    channels, kernels, size, *_ = SMALL
    return switched | {
        "no padding": (padding(), (channels, size, size)),
        "the smaller side": (smaller_side(), (kernels, size, size)),
    }


def compare(ways: Ways, shape: tuple[int, int, int], batch: int, rounds: int) -> dict[str, float]:
    """Median seconds of either way, on new arrays; AssertionError before if they give other numbers, by 1e-4."""
    rng = np.random.default_rng(1)

    def draw() -> Any:
        return rng.standard_normal((batch, *shape), dtype=np.float32)

    x = draw()
    found, expected = ways["with"](x), ways["without"](x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(abs(expected).max()))

    def make(_: int) -> dict[str, Callable[[], Any]]:
        x = draw()
        return {name: partial(way, x) for name, way in ways.items()}

    return medians(make, rounds)


def switch(shape: Shape, change: Change) -> Ways:
    """One forward as it is, and with the attribute changed."""
    channels, kernels, size, kernel, stride = shape
    edge, out = kernel // 2, (size + stride - 1) // stride
    edges = (edge, edge), (edge, edge)
    geometry = fast.Geometry((size, size), (kernel, kernel), (stride, stride), (1, 1), edges, (out, out))
    weight = _numbers(kernels, channels, kernel, kernel)
    bias = _numbers(kernels)

    def without(x: Any) -> Any:
        with changed(*change):
            return fast.forward(x, weight, bias, geometry)

    return {"with": lambda x: fast.forward(x, weight, bias, geometry), "without": without}


def padding() -> Ways:
    """Zeros written into the buffer once, against padding the pictures first."""
    channels, kernels, size, *_ = SMALL
    weight = _numbers(kernels, channels, 3, 3)
    bare = fast.Geometry((size, size), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (size, size))
    padded = fast.Geometry((size + 2, size + 2), (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)), (size, size))
    around = ((0, 0), (0, 0), (1, 1), (1, 1))
    return {
        "with": lambda x: fast.forward(x, weight, None, bare),
        "without": lambda x: fast.forward(np.pad(x, around), weight, None, padded),
    }


def smaller_side() -> Ways:
    """dL/dx of the first layer: columns added up where they came from, against a convolution of dy."""
    channels, kernels, size, *_ = SMALL
    weight = _numbers(kernels, channels, 3, 3)
    geometry = fast.Geometry((size, size), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (size, size))
    turned = np.ascontiguousarray(weight[..., ::-1, ::-1].swapaxes(0, 1))
    return {
        "with": lambda dy: fast.input_gradient(dy, weight, geometry),
        "without": lambda dy: fast.forward(dy, turned, None, geometry),
    }


def _taken(shape: Shape) -> tuple[int, int, int]:
    return shape[0], shape[2], shape[2]


def _numbers(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

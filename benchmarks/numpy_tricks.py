"""What each trick of `convscope/numpy_nn/fast.py` buys: seconds of one pass with it and without it, side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.timing import Calls, medians
from convscope.numpy_nn import fast, winograd, workers

BATCH = 64
Shape = tuple[int, int, int, int, int]  # channels in, channels out, size, kernel, stride
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
    """Of every trick."""
    seconds = {name: gain(*trick, rounds) for name, trick in TRICKS.items()}
    return seconds | {"no padding": padding(rounds), "the smaller side": smaller_side(rounds)}


def gain(shape: Shape, change: Change, rounds: int) -> dict[str, float]:
    """Seconds of one forward with the trick and without it."""
    channels, kernels, size, kernel, stride = shape
    edge, out = kernel // 2, (size + stride - 1) // stride
    edges = (edge, edge), (edge, edge)
    geometry = fast.Geometry((size, size), (kernel, kernel), (stride, stride), (1, 1), edges, (out, out))
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((kernels, channels, kernel, kernel), dtype=np.float32)
    bias = rng.standard_normal(kernels, dtype=np.float32)

    def make(_: int) -> Calls:
        x = rng.standard_normal((BATCH, channels, size, size), dtype=np.float32)

        def without() -> None:
            with changed(*change):
                fast.forward(x, weight, bias, geometry)

        return {"with": lambda: fast.forward(x, weight, bias, geometry), "without": without}

    return medians(make, rounds)


def padding(rounds: int) -> dict[str, float]:
    """The same of writing zeros into the buffer once, against padding the pictures first."""
    channels, kernels, size, *_ = SMALL
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((kernels, channels, 3, 3), dtype=np.float32)
    bare = fast.Geometry((size, size), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (size, size))
    padded = fast.Geometry((size + 2, size + 2), (3, 3), (1, 1), (1, 1), ((0, 0), (0, 0)), (size, size))

    def make(_: int) -> Calls:
        x = rng.standard_normal((BATCH, channels, size, size), dtype=np.float32)
        around = ((0, 0), (0, 0), (1, 1), (1, 1))
        return {
            "with": lambda: fast.forward(x, weight, None, bare),
            "without": lambda: fast.forward(np.pad(x, around), weight, None, padded),
        }

    return medians(make, rounds)


def smaller_side(rounds: int) -> dict[str, float]:
    """dL/dx of the first layer: columns added up where they came from, against a convolution of dy."""
    channels, kernels, size, *_ = SMALL
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((kernels, channels, 3, 3), dtype=np.float32)
    geometry = fast.Geometry((size, size), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), (size, size))
    turned = np.ascontiguousarray(weight[..., ::-1, ::-1].swapaxes(0, 1))

    def make(_: int) -> Calls:
        dy = rng.standard_normal((BATCH, kernels, size, size), dtype=np.float32)
        return {
            "with": lambda: fast.input_gradient(dy, weight, geometry),
            "without": lambda: fast.forward(dy, turned, None, geometry),
        }

    return medians(make, rounds)

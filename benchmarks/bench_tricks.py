"""What each trick of `convscope/numpy_nn/fast.py` buys: the time without it over the time with it, in one run.

`python benchmarks/bench_tricks.py` prints the table and writes benchmarks/results/tricks.json.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

from benchmarks.surroundings import measure_in_clean_surroundings

if __name__ == "__main__":
    measure_in_clean_surroundings()

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.timing import Calls, medians
from convscope.numpy_nn import fast, winograd, workers
from convscope.runs.environment import command_line, describe_environment

ROOT = Path(__file__).parent.parent
BATCH, ROUNDS = 64, 15
Shape = tuple[int, int, int, int, int]  # channels in, channels out, size, kernel, stride
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


def blas_threads_only(work: Any, batch: int, block: int, operations: int) -> list[Any]:
    """`workers.share` without threads of ours: every block in turn, BLAS with all its threads."""
    scratch = workers._local.scratch
    scratch.begin()
    return [work(range(0, batch, block), scratch)]


def fresh(scratch: workers.Scratch) -> None:
    """`Scratch.begin` that keeps no memory."""
    scratch._memory, scratch._taken = np.empty(0, np.uint8), 0


# trick -> (shape, what to change so that it is off)
TRICKS: dict[str, tuple[Shape, list[tuple[Any, str, Any]]]] = {
    "columns along the width only": (WIDE, [(fast, "MERGE", 1 << 30)]),
    "one block at a time": (WIDE, [(fast, "COLUMNS", 1 << 30)]),
    "one block a core": (WIDE, [(fast, "share", blas_threads_only)]),
    "memory that stays": (SMALL, [(workers.Scratch, "begin", fresh)]),
    "no columns for 1×1": (POINT, [(fast.Geometry, "pointwise", False)]),
    "Winograd": (DEEP, [(fast, "TRANSFORM", 1 << 30)]),
    "Winograd, one block a core": (DEEP, [(winograd, "share", blas_threads_only)]),
}


def gain(shape: Shape, changes: list[tuple[Any, str, Any]]) -> dict[str, float]:
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
            with _all(changes):
                fast.forward(x, weight, bias, geometry)

        return {"with": lambda: fast.forward(x, weight, bias, geometry), "without": without}

    return medians(make, ROUNDS)


@contextmanager
def _all(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    if not changes:
        yield
        return
    with changed(*changes[0]), _all(changes[1:]):
        yield


def padding() -> dict[str, float]:
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

    return medians(make, ROUNDS)


def smaller_side() -> dict[str, float]:
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

    return medians(make, ROUNDS)


def main() -> None:
    """Measure every trick, print the table, write the file."""
    threads = os.cpu_count() or 1
    with threadpool_limits(threads, user_api="blas"):
        seconds = {name: gain(*trick) for name, trick in TRICKS.items()}
        seconds |= {"no padding": padding(), "the smaller side": smaller_side()}
    for name, taken in seconds.items():
        ratio = taken["without"] / taken["with"]
        print(f"{name:<30} {1e3 * taken['with']:7.2f} ms; without {1e3 * taken['without']:7.2f} ms: {ratio:5.2f} times")
    environment = describe_environment("cpu") | {"threads": threads, "command": command_line()}
    (ROOT / "benchmarks/results/tricks.json").write_text(
        json.dumps({"batch": BATCH, "seconds": seconds, "environment": environment}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()

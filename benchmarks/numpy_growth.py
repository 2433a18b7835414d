"""Sizes and channels in, how long one convolution takes there out: naive, im2col, numpy_nn and PyTorch.

Also what this machine can do at most: the rate at which NumPy and PyTorch multiply large matrices.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.timing import WARM_UP, Calls, medians
from convscope import numpy_nn

BATCH = 16
AT_CHANNELS, AT_SIZE = 64, 16  # where the other one varies
SIZES, CHANNELS = (4, 8, 16, 32, 64), (4, 8, 16, 32, 64, 128, 256)
SETTLE = 0.1  # seconds: `plain` and NumPy's product use BLAS's own threads
NAIVE = 10_000_000  # multiply-adds a picture that plain Python takes a second or so for; beyond, it is left out
MATRIX = 2048  # rows and columns; larger gives no higher rate


def multiply_adds(channels: int, size: int) -> int:
    """Of a 3×3 convolution, padding 1, channels to as many channels, of one picture of size×size."""
    return size**2 * channels**2 * 9


def measure(sizes: tuple[int, ...], channels: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Seconds a picture at each size, and at each number of channels: {"size": [...], "channels": [...]}."""
    return {
        "batch": BATCH,
        "size": [_row(AT_CHANNELS, size, rounds) for size in sizes],
        "channels": [_row(count, AT_SIZE, rounds) for count in channels],
    }


def matrix_product(rounds: int) -> dict[str, float]:
    """Multiply-adds a second of a large float32 matrix product in NumPy and in PyTorch, and the matrices' size."""
    rng = np.random.default_rng(0)

    def make(_: int) -> Calls:
        a, b = rng.standard_normal((2, MATRIX, MATRIX), dtype=np.float32)
        first, second = torch.from_numpy(a), torch.from_numpy(b)
        return {"numpy": lambda: a @ b, "torch": lambda: first @ second}

    return {"size": MATRIX} | {name: MATRIX**3 / seconds for name, seconds in medians(make, rounds, SETTLE).items()}


def _row(channels: int, size: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    module = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    weight = module.weight.detach().numpy()
    fast, plain = (numpy_nn.Conv2D(channels, channels, 3, padding=1, bias=False) for _ in range(2))
    for layer in (fast, plain):
        layer.params["weight"] = weight
    plain.plain = True
    naive = multiply_adds(channels, size) <= NAIVE

    def make(number: int) -> Calls:
        x = rng.standard_normal((BATCH, channels, size, size), dtype=np.float32)
        pictures = torch.from_numpy(x)

        def forward() -> None:
            with torch.no_grad():
                module(pictures)

        calls: Calls = {"im2col": lambda: plain(x), "numpy_nn": lambda: fast(x), "torch": forward}
        if naive and number == WARM_UP:  # once: it takes long, and its time is steady
            calls["naive"] = lambda: numpy_nn.conv2d_naive(x[:1], weight, padding=1)
        return calls

    seconds = {name: taken / (1 if name == "naive" else BATCH) for name, taken in medians(make, rounds, SETTLE).items()}
    return {"channels": channels, "size": size, "multiply_adds": multiply_adds(channels, size), "seconds": seconds}

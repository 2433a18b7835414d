"""Sizes in, the contests out that say how fast a machine computes in this hour; and from their seconds, GFLOP/s."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.timing import Contest

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PRODUCT, FORWARD, BACKWARD = "matrix product", "convolution forward", "convolution backward"


@dataclass(frozen=True)
class Sizes:
    """Of a square matrix product, and of a 3×3 convolution (padding 1) of `batch` pictures (channels, size, size)."""

    matrix: int = 2048
    batch: int = 500
    channels: int = 64
    kernels: int = 256
    size: int = 16

    def operations(self) -> dict[str, int]:
        """Multiplications and additions of a call of each; backward gives two gradients, each as much as forward."""
        places = self.batch * self.size**2
        forward = 2 * places * self.kernels * self.channels * 9  # zeros of the padding count, as is usual
        return {PRODUCT: 2 * self.matrix**3, FORWARD: forward, BACKWARD: 2 * forward}


def contests(sizes: Sizes) -> dict[str, Contest]:
    """The three in both precisions, a contest each, so that the slower precision is timed as often; channels last."""
    return {
        f"{name}, {precision}": {precision: lambda of=of, dtype=dtype: of(sizes, dtype)}
        for name, of in {PRODUCT: _product, FORWARD: _forward, BACKWARD: _backward}.items()
        for precision, dtype in PRECISIONS.items()
    }


def gigaflops(sizes: Sizes, seconds: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """10⁹ operations a second of each, by name and precision, from what the contests took."""
    return {
        name: {precision: count / seconds[f"{name}, {precision}"][precision] / 1e9 for precision in PRECISIONS}
        for name, count in sizes.operations().items()
    }


def _product(sizes: Sizes, dtype: torch.dtype) -> Callable[[], Any]:
    a, b = (torch.randn(sizes.matrix, sizes.matrix, dtype=dtype) for _ in range(2))
    return lambda: a @ b


def _convolution(sizes: Sizes, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, C, H, W) and kernels (O, C, 3, 3), channels last."""
    x = torch.randn(sizes.batch, sizes.channels, sizes.size, sizes.size, dtype=dtype)
    weight = torch.randn(sizes.kernels, sizes.channels, 3, 3, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last), weight.contiguous(memory_format=torch.channels_last)


def _forward(sizes: Sizes, dtype: torch.dtype) -> Callable[[], Any]:
    x, weight = _convolution(sizes, dtype)
    return lambda: F.conv2d(x, weight, padding=1)


def _backward(sizes: Sizes, dtype: torch.dtype) -> Callable[[], Any]:
    wanted = [tensor.requires_grad_() for tensor in _convolution(sizes, dtype)]
    y = F.conv2d(*wanted, padding=1)
    dy = torch.randn(y.shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)

"""The layers of `numpy_nn` as PyTorch modules: learnable kernels, the arithmetic by `torch.nn.functional`."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IntOrPair = int | tuple[int, int]


def pair(layer: str, name: str, value: IntOrPair, least: int = 1) -> tuple[int, int]:
    """An integer or a (height, width) pair as a pair; ValueError if it is neither, or below `least`."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(type(n) is int and n >= least for n in both):
        raise ValueError(f"{layer} got {name} {value!r}; expected an integer or a pair of at least {least}")
    return both


class Conv2D(nn.Module):
    """Cross-correlation of (N, C, H, W) with learnable kernels, as `numpy_nn.Conv2D` computes it by hand.

    ``y[n, o, i, j] = bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, c, i*S + u - P, j*S + v - P]``

    Kernels start with Xavier's uniform law (Glorot & Bengio 2010, eq. 16), biases at zero.

    Args:
        in_channels: C.
        out_channels: number of kernels, O.
        kernel_size, stride, padding: an integer or a (height, width) pair; `padding` also takes ``"same"``.
        bias: whether each output channel has an offset.

    Attributes:
        weight: (O, C, KH, KW).
        bias: (O,) or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair("Conv2D", "kernel_size", kernel_size)
        self.stride = pair("Conv2D", "stride", stride)
        if isinstance(padding, str) and padding != "same":
            raise ValueError(f'Conv2D got padding {padding!r}; expected an integer, a pair or "same"')
        if padding == "same" and self.stride != (1, 1):
            raise ValueError(f'Conv2D got padding "same" with stride {self.stride}; "same" needs stride 1')
        self.padding = padding if isinstance(padding, str) else pair("Conv2D", "padding", padding, least=0)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, OH, OW) with ``OH = floor((H + 2P - KH) / S) + 1``."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"Conv2D got input {tuple(x.shape)}, its kernels {tuple(self.weight.shape)} "
                f"expect (N, {self.in_channels}, H, W)"
            )
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding!r}, bias={self.bias is not None}"
        )


class Whitening(Conv2D):
    """A fixed 2×2 convolution, (N, C, H, W) -> (N, 8C, H-1, W-1): its outputs are uncorrelated, nearly equally strong.

    Neighbouring pixels say nearly the same, so that a first layer spends its time on undoing that. Here it is undone
    before training: with e and λ the eigenvectors and eigenvalues of the mean of ppᵀ over all 2×2 patches p of the
    normalised pictures, the kernels are e / √(λ + ε) and, so that a ReLU after it loses nothing, their negatives
    (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", section 3.2). They are no part of what is learned.

    Args:
        in_channels: C.

    Attributes:
        weight: (8C, C, 2, 2); random until `fit`.
    """

    SIZE = 2
    EPSILON = 5e-4
    AT_ONCE = 2**20  # numbers

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 2 * in_channels * self.SIZE**2, self.SIZE, bias=False)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take the kernels from normalised pictures, (N, C, H, W); the same pictures give the same kernels."""
        length = self.in_channels * self.SIZE**2
        total, patches = torch.zeros(length, length, dtype=torch.float64), 0
        for part in torch.split(images, max(1, self.AT_ONCE // images[0].numel())):
            patch = F.unfold(part.cpu().double(), self.SIZE).transpose(0, 1).flatten(1)  # (4C, places)
            total, patches = total + patch @ patch.T, patches + patch.shape[1]
        strengths, directions = torch.linalg.eigh(total / patches)  # ascending
        kernels = (directions / (strengths + self.EPSILON).sqrt()).T.flip(0).view(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([kernels, -kernels]))


class _Pool2D(nn.Module):
    """What the two poolings share: a window, a stride (the window's size by default) and a padding."""

    def __init__(self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> None:
        super().__init__()
        kind = type(self).__name__
        self.kernel_size = pair(kind, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair(kind, "stride", stride)
        self.padding = pair(kind, "padding", padding, least=0)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2D(_Pool2D):
    """The largest value of each window; (N, C, H, W) -> (N, C, OH, OW). Padding never wins."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AveragePool2D(_Pool2D):
    """The mean of each window, padding zeros included; (N, C, H, W) -> (N, C, OH, OW)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class Flatten(nn.Module):
    """(N, C, H, W) -> (N, C*H*W), channel by channel."""

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x)


class Residual(nn.Module):
    """``branch(x) + shortcut(x)``; without a shortcut the input itself is added (He et al. 2016)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.branch(x) + (x if self.shortcut is None else self.shortcut(x)))


def relu(x: Tensor) -> Tensor:
    """max(x, 0), elementwise."""
    return F.relu(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, elementwise."""
    return torch.tanh(x)


def flatten(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C*H*W)."""
    return x.flatten(start_dim=1)

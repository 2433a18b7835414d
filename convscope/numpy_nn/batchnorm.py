"""BatchNorm2D: feature maps (N, C, H, W) -> the same, each channel centred and scaled by its statistics."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.shapes import Array, check_images, check_shape, number, plural, whole
from convscope.numpy_nn.workers import pieces

_PIXELS = 0, 2, 3  # every axis but the channels
LARGE = 1 << 14  # pixels of a map


class BatchNorm2D(Layer):
    """Normalise each channel over the batch, then let it learn its own scale and shift.

    With m = N·H·W values a channel (Ioffe & Szegedy 2015, "Batch normalization", algorithm 1):

        μ = (1/m) Σ x        σ² = (1/m) Σ (x - μ)²        x̂ = (x - μ) / √(σ² + ε)        y = γ x̂ + β

    In training μ and σ² are the batch's, and depend on every x, so the gradient has three parts (section 3
    there, the terms collected):

        dx = γ / √(σ² + ε) · (dy - mean(dy) - x̂ · mean(dy · x̂))        dγ = Σ dy · x̂        dβ = Σ dy

    In eval mode they are the recorded constants, and only the first part is left. What is recorded is the
    running average, running ← (1 - momentum) · running + momentum · batch, of the mean and of the *unbiased*
    variance m/(m-1) · σ², while the batch itself is normalised with the *biased* one, as in PyTorch.

    Args:
        num_features: C.
        eps: ε, keeps the root away from zero.
        momentum: the weight of the newest batch in the running averages, 0 to 1.

    Attributes:
        params: `weight` (γ, ones at first) and `bias` (β, zeros), each (C,).
        running_mean, running_var: (C,), in the dtype of the last training input.

    Raises:
        ValueError: an argument out of range; a call with another rank or number of channels, or in training
            with an empty batch, or with one value a channel, which has no variance.

    >>> x = np.array([1.0, 2, 3, 4, 5, 6]).reshape(2, 1, 1, 3)
    >>> norm = BatchNorm2D(1)
    >>> print(norm(x).round(3)[:, 0, 0])
    [[-1.464 -0.878 -0.293]
     [ 0.293  0.878  1.464]]
    >>> print(norm.running_mean, norm.running_var)  # 0.1 · 3.5, and 0.9 · 1 + 0.1 · 3.5
    [0.35] [1.25]
    """

    running_mean: Array
    running_var: Array

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features = whole("BatchNorm2D", "num_features", num_features, at_least=1)
        self.eps = number("BatchNorm2D", "eps", eps)
        self.momentum = number("BatchNorm2D", "momentum", momentum, at_most=1)
        self.params["weight"] = np.ones(self.num_features)
        self.params["bias"] = np.zeros(self.num_features)
        self.running_mean = np.zeros(self.num_features)
        self.running_var = np.ones(self.num_features)

    def _forward(self, x: Array) -> Array:
        self._check(x)
        channel = (self.num_features,)
        self.running_mean = _statistic("running_mean", self.running_mean, channel)
        self.running_var = _statistic("running_var", self.running_var, channel)
        self._gamma = self._param("weight", channel, x.dtype)
        beta = self._param("bias", channel, x.dtype)
        self._batch_mode = self.training  # of this forward; the mode may change before backward
        normalised = np.empty_like(x, order="C")  # x̂, (N, C, H, W)
        y = np.empty_like(normalised)
        if self._batch_mode:
            # this sum is carried in float64, as PyTorch's are: a float32 mean of large values would drift
            values = x.size // self.num_features
            mean = self._sum(lambda here: x[here].sum(axis=_PIXELS, dtype=np.float64), x) / values
            centre = _spread(mean.astype(x.dtype))
            # two passes: E[x²] - E[x]² would cancel to nothing, or below it, where the mean is large
            squares = self._sum(lambda here: np.square(x[here] - centre).sum(axis=_PIXELS, dtype=np.float64), x)
            variance = squares / values
            self._record(mean, variance, x)
        else:
            variance = self.running_var.astype(np.float64)
            centre = _spread(self.running_mean.astype(x.dtype))
        self._inverse_std = (1 / np.sqrt(variance + self.eps)).astype(x.dtype)  # (C,)
        scale, gamma, shift = _spread(self._inverse_std), _spread(self._gamma), _spread(beta)

        def work(here: slice) -> None:
            np.subtract(x[here], centre, out=normalised[here])
            np.multiply(normalised[here], scale, out=normalised[here])
            np.multiply(normalised[here], gamma, out=y[here])
            np.add(y[here], shift, out=y[here])

        pieces(work, x.shape)
        self._normalised = normalised
        return y

    def _backward(self, dy: Array) -> Array:
        normalised, dx = self._normalised, np.empty_like(dy, order="C")
        ones = np.ones((1, *dy.shape[1:]), dy.dtype)
        dgamma = self._sum(lambda here: _dot(dy[here], normalised[here]), dy)
        dbeta = self._sum(lambda here: _dot(dy[here], ones), dy)
        self.grads["weight"], self.grads["bias"] = dgamma.astype(dy.dtype), dbeta.astype(dy.dtype)
        scale = _spread(self._gamma * self._inverse_std)
        if self._batch_mode:
            values = dy.size // self.num_features
            tilt, moved = (_spread((total / values).astype(dy.dtype)) for total in (dgamma, dbeta))

        def work(here: slice) -> None:
            if self._batch_mode:
                np.multiply(normalised[here], tilt, out=dx[here])
                np.subtract(dy[here], dx[here], out=dx[here])
                np.subtract(dx[here], moved, out=dx[here])
                np.multiply(dx[here], scale, out=dx[here])
            else:
                np.multiply(dy[here], scale, out=dx[here])

        pieces(work, dy.shape)
        return dx

    def _sum(self, sums: Callable[[slice], NDArray[np.float64]], x: Array) -> NDArray[np.float64]:
        """Over all pictures, (C,), of the `sums`, (C,), over a few pictures of `x`."""
        return sum(pieces(sums, x.shape), np.zeros(self.num_features))

    def _record(self, mean: NDArray[np.float64], variance: NDArray[np.float64], x: Array) -> None:
        """Move the running averages a step towards this batch."""
        values = x.size // self.num_features
        unbiased = variance * (values / (values - 1))
        old, new = 1 - self.momentum, self.momentum
        self.running_mean = (old * self.running_mean + new * mean).astype(x.dtype)
        self.running_var = (old * self.running_var + new * unbiased).astype(x.dtype)

    def _check(self, x: Array) -> None:
        check_images("BatchNorm2D", x)
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm2D got input {x.shape}: {plural(x.shape[1], 'channel')}, "
                f"its weight expects {self.num_features}"
            )
        if self.training and not len(x):
            raise ValueError(f"BatchNorm2D got input {x.shape}: an empty batch has no statistics to train with")
        if self.training and x.size < 2 * self.num_features:
            raise ValueError(
                f"BatchNorm2D got input {x.shape}: one value a channel has no variance to train with; "
                "give it more pictures or larger maps, or call eval()"
            )


def _statistic(name: str, value: Array, shape: tuple[int, ...]) -> Array:
    """What someone put into a running statistic, as an array of numbers."""
    value = np.asarray(value)
    check_shape("BatchNorm2D", name, value, shape)
    if value.dtype.kind not in "fiu":
        raise ValueError(f"BatchNorm2D has {name} of type {value.dtype}, expected numbers")
    return value


def _dot(a: Array, b: Array) -> NDArray[np.float64]:
    """Σ a·b over pictures and pixels, (C,), of (N, C, H, W) and (N or 1, C, H, W): by BLAS, which is fast at it.

    A small map is summed up in its own precision, of a large one each row is; all else in float64.
    """
    parts = a.shape[2] if a.shape[2] * a.shape[3] > LARGE else 1
    maps = np.matmul(
        a.reshape(*a.shape[:2], parts, 1, -1), b.reshape(*b.shape[:2], parts, -1, 1)
    )  # (N, C, parts, 1, 1)
    total: NDArray[np.float64] = maps.sum(axis=(0, 2, 3, 4), dtype=np.float64)
    return total


def _spread(channel: Array) -> Array:
    """(C,) -> (C, 1, 1), so that it meets every pixel of its channel."""
    return channel[:, None, None]

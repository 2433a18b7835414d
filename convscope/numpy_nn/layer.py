"""Layer: the contract that every layer keeps; arrays come in and go out, gradients the other way."""

from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convscope.numpy_nn.shapes import Array, check_float, check_shape


class Layer(ABC):
    """One step of a network: ``y = layer(x)``, then ``dx = layer.backward(dy)``.

    The computation follows the input's dtype (float32 or float64): parameters are cast to it where they are
    used, and outputs and gradients come in it. What is returned is a new array, sharing memory with nothing.
    `x` and the parameters are remembered, not copied: do not change them in place between `forward` and
    `backward` (PyTorch asks the same).

    A subclass writes `_forward` and `_backward`; this class checks what goes into them. Arrays that `_forward` keeps
    for `_backward` go into attributes with a leading underscore, and nothing else does: with ``remember=False``
    those are dropped again.

    Attributes:
        params: learnable arrays under PyTorch's names, made in float64; live: what is assigned or changed
            there counts from the next call on.
        grads: dL/dparam for each of them, made anew by each `backward`.
        training: the mode; set by `train()` and `eval()`.
        name: a label that whoever builds the network may set.
    """

    name: str = ""

    def __init__(self) -> None:
        self.params: MutableMapping[str, Array] = {}
        self.grads: MutableMapping[str, Array] = {}
        self.training = True
        self._result: tuple[tuple[int, ...], np.dtype[Any]] | None = None  # of the last forward: shape, dtype
        self._remember = True  # as the forward now running was told

    def __call__(self, x: Array, remember: bool = True) -> Array:
        """The same as `forward`."""
        return self.forward(x, remember)

    def forward(self, x: Array, remember: bool = True) -> Array:
        """Compute the output, and remember what `backward` will need.

        Args:
            x: float32 or float64.
            remember: False keeps nothing for `backward`, which then refuses: a network that is only used takes the
                memory of one layer at a time, not of all.

        Raises:
            ValueError: `x` is not float32 or float64, or its shape does not fit; the message shows it.
        """
        x = np.asarray(x)
        check_float(type(self).__name__, x)
        self._result = None  # should _forward fail, backward must not answer for an earlier input
        self._remember = remember
        y = self._forward(x)
        if remember:
            self._result = y.shape, y.dtype
        else:
            self._forget()
        return _apart(y, x)

    def backward(self, dy: Array) -> Array:
        """From dL/dy to dL/dx for the last input; fills `grads`. May be repeated, with another `dy` too.

        Raises:
            RuntimeError: there was no forward to go back through.
            ValueError: `dy` has not the shape of the output.
        """
        if self._result is None:
            raise RuntimeError(f"{type(self).__name__}.backward has no forward to go back through; call it first")
        shape, dtype = self._result
        dy = np.asarray(dy, dtype=dtype)
        if dy.shape != shape:
            raise ValueError(f"{type(self).__name__}.backward got dy {dy.shape}, its output was {shape}")
        self.grads.clear()  # a parameter may be gone since
        return _apart(self._backward(dy), dy)

    @abstractmethod
    def _forward(self, x: Array) -> Array:
        """The formula; `x` is float32 or float64 and must not be changed."""

    @abstractmethod
    def _backward(self, dy: Array) -> Array:
        """The derivative; `dy` has the shape and dtype of the output and must not be changed."""

    def train(self) -> Self:
        """Switch to training: Dropout drops, BatchNorm2D uses and records the batch's statistics."""
        self.training = True
        return self

    def eval(self) -> Self:
        """Switch to use: Dropout is the identity, BatchNorm2D uses what it recorded."""
        self.training = False
        return self

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in self.params.items())
        return f"{type(self).__name__}({shapes})"

    def _forget(self) -> None:
        """Drop the arrays that `_forward` kept."""
        for name in [n for n, value in vars(self).items() if n.startswith("_") and isinstance(value, np.ndarray)]:
            delattr(self, name)

    def _param(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """The parameter as it is now, in `dtype`; ValueError if someone put one of another shape there."""
        value = np.asarray(self.params[name])
        check_shape(type(self).__name__, name, value, shape)
        return value.astype(dtype, copy=False)


def xavier_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights from U(-a, a) with a = √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, equation 16)."""
    bound = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, shape)


def _apart(result: Array, source: Array) -> Array:
    """`result`, copied if it may be a view of `source` (a reshape, an identity)."""
    return result.copy() if np.may_share_memory(result, source) else result

"""Activations: any array -> one of the same shape, each element by itself; what lets depth mean something."""

import math

import numpy as np

from convscope.numpy_nn.erf import erf
from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.shapes import Array, kept
from convscope.numpy_nn.workers import pieces


class ReLU(Layer):
    """y = max(x, 0); dx = dy where x > 0, else 0 (at 0 too, as in PyTorch). NaN stays NaN.

    >>> relu = ReLU()
    >>> print(relu(np.array([-2.0, 0.0, 3.0])), relu.backward(np.array([1.0, 1.0, 1.0])))
    [0. 0. 3.] [0. 0. 1.]
    """

    def _forward(self, x: Array) -> Array:
        x, shape = x.reshape(-1), x.shape
        y = np.empty_like(x)
        self._passes = passes = np.empty(x.shape, np.bool_)

        def work(here: slice) -> None:
            np.maximum(x[here], 0, out=y[here])
            np.less_equal(x[here], 0, out=passes[here])
            np.logical_not(passes[here], out=passes[here])  # so that NaN passes too

        pieces(work, x.shape)
        return y.reshape(shape)

    def _backward(self, dy: Array) -> Array:
        return kept(dy, self._passes.reshape(dy.shape))


class GELU(Layer):
    """y = x Φ(x), with the normal distribution Φ(x) = (1 + erf(x/√2)) / 2: the exact form.

    dx = dy · (Φ(x) + x φ(x)), with φ(x) = exp(-x²/2) / √(2π) (Hendrycks & Gimpel 2016, section 2).

    >>> print(GELU()(np.array([-1.0, 0.0, 1.0])).round(4))
    [-0.1587  0.      0.8413]
    """

    def _forward(self, x: Array) -> Array:
        self._x = x
        self._below = 0.5 * (1 + erf(x * math.sqrt(0.5)))  # Φ(x): how much of a normal distribution lies below x
        return x * self._below

    def _backward(self, dy: Array) -> Array:
        density = np.exp(-0.5 * self._x * self._x) / math.sqrt(2 * math.pi)
        return dy * (self._below + self._x * density)


class Tanh(Layer):
    """y = tanh(x); dx = dy · (1 - y²).

    >>> print(Tanh()(np.array([-1.0, 0.0, 1.0])).round(4))
    [-0.7616  0.      0.7616]
    """

    def _forward(self, x: Array) -> Array:
        self._y = np.tanh(x)
        return self._y.copy()  # the caller may change what it gets; backward needs it as it was

    def _backward(self, dy: Array) -> Array:
        slope: Array = 1 - self._y * self._y
        return dy * slope

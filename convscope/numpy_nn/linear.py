"""Linear and Flatten: from feature maps (N, C, H, W) to rows of features, and from features to scores."""

import math

import numpy as np

from convscope.numpy_nn.layer import Layer, xavier_uniform
from convscope.numpy_nn.shapes import Array, generator, plural, whole
from convscope.numpy_nn.workers import product


class Linear(Layer):
    """Y = X Wᵀ + b over the last axis: every output is a weighted sum of every input.

    dX = dY W        dW = dYᵀ X        db = Σ dY, the sums running over all axes but the last.

    Args:
        in_features, out_features: sizes of the last axis before and after.
        bias: whether each output adds a learned number.
        rng: draws the weight, Xavier uniform; the bias starts at zero.

    Attributes:
        params: `weight`, (out_features, in_features); `bias`, (out_features,).

    Raises:
        ValueError: an argument out of range; a call with another number of features.

    >>> linear = Linear(3, 2)
    >>> linear.params["weight"] = np.array([[1.0, 0, 0], [0, 1, 1]])
    >>> print(linear(np.array([[1.0, 2, 3], [4, 5, 6]])))
    [[ 1.  5.]
     [ 4. 11.]]
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = whole("Linear", "in_features", in_features, at_least=1)
        self.out_features = whole("Linear", "out_features", out_features, at_least=1)
        shape = self.out_features, self.in_features
        self.params["weight"] = xavier_uniform(shape, self.in_features, self.out_features, generator("Linear", rng))
        if bias:
            self.params["bias"] = np.zeros(self.out_features)

    def _forward(self, x: Array) -> Array:
        if x.ndim < 1 or x.shape[-1] != self.in_features:
            found = plural(x.shape[-1], "feature") if x.ndim else "no axis"
            raise ValueError(f"Linear got input {x.shape}: {found}, its weight expects {self.in_features}")
        self._x = x
        self._weight = self._param("weight", (self.out_features, self.in_features), x.dtype)
        rows = product(x.reshape(-1, self.in_features), self._weight.T)
        y = rows.reshape(*x.shape[:-1], self.out_features)
        if "bias" in self.params:
            y = y + self._param("bias", (self.out_features,), x.dtype)
        return y

    def _backward(self, dy: Array) -> Array:
        rows = dy.reshape(-1, self.out_features)
        self.grads["weight"] = product(rows.T, self._x.reshape(-1, self.in_features))
        if "bias" in self.params:
            self.grads["bias"] = rows.sum(axis=0)
        return product(rows, self._weight).reshape(*dy.shape[:-1], self.in_features)


class Flatten(Layer):
    """(N, C, H, W) -> (N, C·H·W): channel after channel, row after row. Any rank from 2 on; N stays.

    >>> Flatten()(np.zeros((5, 8, 4, 3))).shape
    (5, 96)
    """

    def _forward(self, x: Array) -> Array:
        if x.ndim < 2:
            raise ValueError(f"Flatten got input {x.shape}: expected at least 2 axes, the batch and what to flatten")
        self._shape = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def _backward(self, dy: Array) -> Array:
        return dy.reshape(self._shape)

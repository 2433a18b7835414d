"""Dropout: any array -> the same with a random share of it zeroed, in training only."""

import numpy as np

from convscope.numpy_nn.layer import Layer
from convscope.numpy_nn.shapes import Array, generator, number


class Dropout(Layer):
    """Zero each element with probability p and divide the others by 1 - p, so that the mean stays.

    In training y = x · mask / (1 - p) and dx = dy · mask / (1 - p), with the same mask; in eval mode both are
    the identity ("inverted" dropout: Srivastava et al. 2014, section 10).

    Args:
        p: 0 to 1; at 1 everything is zero.
        rng: draws the masks. It stays reachable as `layer.rng`, so that a training loop can seed each step.

    Raises:
        ValueError: `p` is out of range or no number, `rng` is no generator.

    >>> dropout = Dropout(0.5, rng=np.random.default_rng(1))
    >>> print(dropout(np.ones(6)), dropout.eval()(np.ones(6)))
    [2. 2. 0. 2. 0. 0.] [1. 1. 1. 1. 1. 1.]
    """

    def __init__(self, p: float, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.p = number("Dropout", "p", p, at_most=1)
        self.rng = generator("Dropout", rng)

    def _forward(self, x: Array) -> Array:
        self._factor: Array | None = None
        if not self.training:
            return x
        # drawn in float64 whatever x is, so that one seed drops the same elements in either dtype
        kept = (self.rng.random(x.shape) >= self.p).astype(x.dtype)
        self._factor = kept / (1 - self.p) if self.p < 1 else kept
        return x * self._factor

    def _backward(self, dy: Array) -> Array:
        return dy if self._factor is None else dy * self._factor

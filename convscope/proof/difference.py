"""Two arrays of the same thing in, one from NumPy and one from PyTorch; how far they lie apart goes out."""

from dataclasses import dataclass

import numpy as np

from convscope.convert import Array


@dataclass(frozen=True)
class Difference:
    """How far NumPy and PyTorch lie apart in one thing: a layer's output, a gradient, a parameter, a map.

    Attributes:
        name: its dotted PyTorch name.
        kind: what it is: the NumPy layer that gave it, or "gradient", "parameter", …
        max_abs_diff: the largest absolute difference.
        scale: the largest absolute value of PyTorch's.
        allowed: the absolute difference that rounding can explain (see `rounding`).
    """

    name: str
    kind: str
    max_abs_diff: float
    scale: float
    allowed: float

    @property
    def relative(self) -> float:
        """`max_abs_diff` over `scale`; 0 where both are zero."""
        return self.max_abs_diff / self.scale if self.scale else float(np.inf if self.max_abs_diff else 0)

    @property
    def ok(self) -> bool:
        """Whether the difference is a number, and rounding can explain it."""
        return self.max_abs_diff <= self.allowed


@dataclass(frozen=True)
class Tie:
    """A picture with another prediction in NumPy because float32 cannot tell its two best classes apart.

    Attributes:
        index: the picture, counted from 0.
        numpy_class, torch_class: what each predicts.
        margin: by how much PyTorch's logit of its class exceeds that of NumPy's.
        rounding: what float32 rounding alone may add to that margin, or take from it.
    """

    index: int
    numpy_class: int
    torch_class: int
    margin: float
    rounding: float

    @property
    def ok(self) -> bool:
        """Whether it is a tie: rounding explains the margin. Otherwise one of the two predicts wrongly."""
        return self.margin <= self.rounding


def largest(x: Array) -> float:
    """The largest absolute value, NaN if there is one, 0 for no values; without a copy of `x`."""
    return float(np.maximum(x.max(initial=0), 0 - x.min(initial=0)))

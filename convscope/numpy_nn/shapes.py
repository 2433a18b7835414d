"""Arguments and shapes: what a caller passed comes in, checked values or a ValueError with shapes go out."""

import operator
import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
IntPair: TypeAlias = int | tuple[int, int]  # one number for both axes, or (height, width)
Pair: TypeAlias = tuple[int, int]
Edges: TypeAlias = tuple[Pair, Pair]  # rows or columns added at ((top, bottom), (left, right))


def whole(owner: str, name: str, value: Any, at_least: int) -> int:
    """`value` as an int of at least `at_least`; numpy integers count, floats do not."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{owner} got {name} {value!r}: expected a whole number") from None
    if number < at_least:
        raise ValueError(f"{owner} got {name} {value!r}: expected at least {at_least}")
    return number


def number(owner: str, name: str, value: Any, at_most: float = sys.float_info.max) -> float:
    """`value` as a float from 0 to `at_most`; NaN and what is no real number are refused."""
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= at_most:
        allowed = "of at least 0" if at_most == sys.float_info.max else f"from 0 to {at_most:g}"
        raise ValueError(f"{owner} got {name} {value!r}: expected a number {allowed}")
    return float(value)


def generator(owner: str, rng: Any) -> np.random.Generator:
    """`rng` itself, or an unseeded one for None."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"{owner} got rng {rng!r}: expected a np.random.Generator, as np.random.default_rng(0) gives")
    return rng


def pair(owner: str, name: str, value: Any, at_least: int) -> Pair:
    """A whole number for both axes, or two for (height, width), as two."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(f"{owner} got {name} {value!r}: expected a whole number or a (height, width) pair")
        return whole(owner, name, value[0], at_least), whole(owner, name, value[1], at_least)
    number = whole(owner, name, value, at_least)
    return number, number


def check_float(owner: str, x: NDArray[Any]) -> None:
    """Refuse what is neither float32 nor float64: bytes and integers would overflow or round in silence."""
    if x.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{owner} got {x.dtype} input {x.shape}: expected float32 or float64; "
            "convert it first, for example with x.astype(np.float32)"
        )


def check_images(owner: str, x: NDArray[Any]) -> None:
    """Refuse what is not (N, C, H, W) with something on every axis but the batch."""
    if x.ndim != 4:
        raise ValueError(f"{owner} got input {x.shape}: {plural(x.ndim, 'axis', 'axes')}, expected 4: (N, C, H, W)")
    if min(x.shape[1:]) < 1:
        raise ValueError(f"{owner} got input {x.shape}: channels, height and width must be at least 1")


def check_shape(owner: str, name: str, value: NDArray[Any], expected: tuple[int, ...]) -> None:
    """Refuse an array of another shape than `expected`."""
    if value.shape != expected:
        raise ValueError(f"{owner} has {name} {value.shape}, expected {expected}")


def convolution_edges(owner: str, padding: object, kernel: Pair, stride: Pair, dilation: Pair) -> Edges:
    """What `padding` (int, pair or "same") adds at each edge.

    "same" keeps height and width. Where the total, dilation · (kernel - 1), is odd, the extra row or column
    goes to the bottom or right, as in PyTorch; with a stride above 1 it is refused, as there.
    """
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"{owner} got padding 'same' with stride {stride}: 'same' needs stride 1")
        height, width = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
        return (height // 2, height - height // 2), (width // 2, width - width // 2)
    if isinstance(padding, str):
        raise ValueError(f"{owner} got padding {padding!r}: expected a whole number, a pair or 'same'")
    vertical, horizontal = pair(owner, "padding", padding, at_least=0)
    return (vertical, vertical), (horizontal, horizontal)


def pad_images(x: NDArray[Any], edges: Edges, value: float = 0.0) -> NDArray[Any]:
    """(N, C, H, W) with `value` added around each picture; `x` itself where there is nothing to add."""
    if edges == ((0, 0), (0, 0)):
        return x
    return np.pad(x, ((0, 0), (0, 0), *edges), constant_values=value)


def kept(values: Array, where: NDArray[np.bool_]) -> Array:
    """`values` where `where` holds, else 0: by a mask of bits, because 0 · NaN is NaN and np.where is slow."""
    bits = np.dtype(f"i{values.itemsize}")
    mask = where.astype(bits)
    np.negative(mask, out=mask)  # all ones, or none
    mask &= values.view(bits)
    return mask.view(values.dtype)


def plural(number: int, one: str, many: str = "") -> str:
    """`1 channel`, `3 channels`."""
    return f"{number} {one if number == 1 else many or one + 's'}"

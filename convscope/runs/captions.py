"""Results in; the words out in which pictures and pages give them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.explain import Explanation


def percent(share: float, digits: int = 1) -> str:
    """0.9778 as 97.8 %; what is not all is never rounded to 100 %, nor what is not nothing to 0 %."""
    while 0 < share < 1 and digits < 6 and float(f"{100 * share:.{digits}f}") in (0, 100):
        digits += 1
    return f"{100 * share:.{0 if share in (0, 1) else digits}f}\N{NO-BREAK SPACE}%"


def verdict(names: Sequence[str], true: int | None, probabilities: NDArray[np.floating]) -> list[str]:
    """What a picture is, where that is known, and what the network says that it is: a line each.

    Args:
        names: of the classes, (K,).
        true: the number of the picture's class.
        probabilities: (K,).
    """
    best = int(probabilities.argmax())
    known = [] if true is None else [f"true class {names[true]}"]
    return [*known, f"predicted {names[best]} ({percent(probabilities[best])})"]


def heat_source(found: Explanation) -> str:
    """Where the heat of an explanation comes from, and how coarse it is, however smoothly it is drawn."""
    height, width = found.maps.shape[1:]
    return f"{found.method} at {found.layer}, a grid of {height}×{width}"


def magnitude(count: int) -> str:
    """61706 as 61,706 and 21385216 as 21.4 million."""
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if count >= 0.9995 * unit:  # what three digits round up to it
            return f"{count / unit:.3g} {name}"
    return f"{count:,}"

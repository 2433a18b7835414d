"""Small arrays and the signs between them come in; lines of text that show them beside each other go out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def beside(*parts: str | tuple[str, NDArray[Any]]) -> str:
    """Labelled arrays, (..., H, W), next to each other, with the signs between them at half height.

    >>> print(beside(("x", np.eye(2)), "→", ("y", np.array([[0.5, -3.0]]))))
      x (2, 2)       y (1, 2)
      1 0        →    0.50 -3.00
      0 1
    """
    height = max(len(block(*part)) for part in parts if not isinstance(part, str))
    columns = []
    for part in parts:
        # half of the height, with the label's line on top: beside the middle row
        lines = [""] * (height // 2) + [part] if isinstance(part, str) else block(*part)
        width = max(map(len, lines))
        columns.append([line.ljust(width) for line in lines + [""] * (height - len(lines))])
    return "\n".join(("  " + "   ".join(cells)).rstrip() for cells in zip(*columns, strict=True))


def block(label: str, array: NDArray[Any]) -> list[str]:
    """The label with the shape, then the rows, numbers flush right."""
    cells = numbers(array)
    width = max(map(len, cells))
    per_row = array.shape[-1]
    rows = [cells[start : start + per_row] for start in range(0, len(cells), per_row)]
    return [f"{label} {array.shape}", *(" ".join(cell.rjust(width) for cell in row) for row in rows)]


def numbers(array: NDArray[Any]) -> list[str]:
    """Every element as text: all without decimals where all are whole, else all with two; never -0."""
    decimals = 0 if np.array_equal(array, np.round(array)) else 2
    return [f"{value:.{decimals}f}" for value in np.round(array, decimals).ravel() + 0.0]

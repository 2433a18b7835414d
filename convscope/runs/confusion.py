"""The confusion matrix of a run as a picture: counts and class names go in, PNG bytes come out."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.runs.canvas import (
    HEADER,
    INK,
    MARGIN,
    SCALE,
    SOFT,
    Canvas,
    Pixels,
    class_labels,
    framed,
    page_width,
    signed_colors,
    text_width,
)

MOST_COUNTED = 20  # classes; beyond, a count no longer fits its cell
KEY_WIDTH = 200


def confusion(matrix: NDArray[np.integer], classes: Sequence[str]) -> bytes:
    """Right answers in blue, mistakes in orange, darker for a larger share of the true class's pictures.

    The shade follows the square root of the share, so that a mistake made once in a hundred can be seen.

    Args:
        matrix: counts, (K, K), rows are the true classes, columns the predicted ones.
        classes: K names; one that no font can draw is shown as its number. Counts stand in the cells for K up to 20;
            a blank cell is a zero.

    Raises:
        ValueError: not square, empty, or another number of classes.
    """
    k = len(classes)
    if matrix.shape != (k, k) or k == 0:
        raise ValueError(f"expected a (K, K) matrix with K class names, got {matrix.shape} and {k} names")
    counts = [f"{count}" if count else "" for count in matrix.flat] if k <= MOST_COUNTED else []
    cell = _cell_size(k, counts)
    size = 10 if cell >= 16 else 8
    names = class_labels(classes, 120, size)
    longest = max(text_width(name, size) for name in names)
    across = longest <= cell - 3  # the predicted names stand upright where they do not fit side by side
    left, top = MARGIN + 28 + longest, HEADER + (34 if across else 32 + longest)
    title = "Which class is taken for which"
    right, total = int(np.trace(matrix)), int(matrix.sum())
    subtitle = f"{right:,} of {total:,} right, on the diagonal; every other cell is a mistake."
    content = left - MARGIN + max(k * cell + 8, KEY_WIDTH + 112)
    with Canvas(page_width(content, title, subtitle), top + k * cell + 84) as canvas:
        canvas.header(title, subtitle)
        canvas.text(left, HEADER + 12, "predicted class →", color=SOFT)
        canvas.text(MARGIN + 10, top + k * cell, "← true class", color=SOFT, rotation=90)
        for index in range(0, k, math.ceil(10 / cell)):  # every name, unless there are several hundred
            middle = (index + 0.5) * cell
            canvas.text(left - 8, top + middle, names[index], size=size, ha="right", va="center_baseline")
            if across:
                canvas.text(left + middle, top - 8, names[index], size=size, ha="center")
            else:
                canvas.text(left + middle, top - 8, names[index], size=size, rotation=90, va="center_baseline")
        colors = _cell_colors(matrix)
        canvas.image(left, top, framed(_grid(colors, cell * SCALE)))
        for index, count in enumerate(counts):
            row, column = divmod(index, k)
            canvas.text(
                left + (column + 0.5) * cell,
                top + (row + 0.5) * cell,
                count,
                color="#ffffff" if colors[row, column].mean() < 135 else INK,
                ha="center",
                va="center_baseline",
            )
        _draw_key(canvas, left, top + k * cell + 26)
        return canvas.png()


def _cell_size(k: int, counts: Sequence[str]) -> int:
    """The side of a cell in points: 440 for all of them, but room for every count, or else for every name."""
    widest = max((text_width(count, 10) for count in counts), default=0)
    return max(1, min(64, max(440 // k, 24 if counts else 10, math.ceil(widest) + 8, 1), 1500 // k))


def _cell_colors(matrix: NDArray[np.integer]) -> Pixels:
    """(K, K) counts -> (K, K, 3): the root of each row's shares in signed colours, the diagonal blue."""
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return signed_colors(np.sqrt(share) * np.where(np.eye(len(matrix), dtype=bool), -1, 1), 1)


def _grid(colors: Pixels, side: int) -> Pixels:
    """Each colour as a square of `side` pixels, white lines between them where there is room."""
    cells = colors.repeat(side, 0).repeat(side, 1)
    if side >= 12:
        cells[side - 1 :: side] = 255
        cells[:, side - 1 :: side] = 255
    return cells


def _draw_key(canvas: Canvas, x: float, y: float) -> None:
    """What the shades mean: one strip for right answers, one for mistakes, their shares below."""
    ramp = np.linspace(0, 1, KEY_WIDTH * SCALE)[None].repeat(9 * SCALE, 0)
    for row, (sign, name) in enumerate(((-1, "right"), (1, "wrong"))):
        canvas.image(x, y + 12 * row, signed_colors(sign * ramp, 1))
        canvas.text(x + KEY_WIDTH + 7, y + 12 * row + 8.5, name, size=9, color=SOFT)
    for share in (0, 1, 10, 30, 60, 100):
        place = x + KEY_WIDTH * math.sqrt(share / 100)
        canvas.text(place, y + 34, f"{share}", size=9, color=SOFT, ha="center")
    canvas.text(x + KEY_WIDTH + 12, y + 34, "% of the true class", size=9, color=SOFT)

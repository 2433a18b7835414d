"""The kernels of one convolution in, a picture of them out: PNG bytes."""

import numpy as np
from numpy.typing import NDArray

from convscope.runs.canvas import HEADER, MARGIN, SOFT, Canvas, Pixels, page_width, signed_colors
from convscope.runs.tiles import KEY_WIDTH, draw_signed_key, largest, place

MOST_FILTERS, MOST_PLANES = 64, 32
NUMBER = 20  # points for the number of a filter
COLOURS = ("colour", "red", "green", "blue")


def filters(kernels: NDArray[np.floating], layer: str) -> bytes:
    """The learned kernels of one convolution, all on one scale that is symmetric around zero.

    Args:
        kernels: (O, I, KH, KW). With I = 3 each filter is a tile in its colours, grey being zero, and beside it its
            red, green and blue plane in signed colours; with I = 1 a tile in signed colours; otherwise a row of its
            planes, one an input channel. The first 64 filters and the first 32 planes are shown, and the picture says
            so where there are more.
        layer: the layer's name.

    Raises:
        ValueError: not four axes, or an empty one.
    """
    if kernels.ndim != 4 or kernels.size == 0:
        raise ValueError(f"expected kernels (O, I, KH, KW), got {kernels.shape}")
    outputs, inputs, height, width = kernels.shape
    limit = largest(kernels)
    shown = kernels[:MOST_FILTERS, :MOST_PLANES]
    cut = f"the first {MOST_FILTERS} of {outputs} filters" if outputs > MOST_FILTERS else f"{outputs} filters"
    title = f"Kernels of {layer}: {cut}, {height}×{width}"
    if inputs == 3:
        return _draw_colours(shown, limit, title)
    columns, box, gap, left = (min(outputs, 8), 56, 8, 0) if outputs <= 32 else (16, 36, 6, 0)
    subtitle = "One tile a filter: orange weights add, blue ones subtract."
    if inputs > 1:
        columns, gap, left = shown.shape[1], 4, NUMBER
        box = max(12, min(40, 480 // columns - gap, 900 // len(shown) - gap))
        planes = f"the first {MOST_PLANES} of {inputs} shown" if inputs > MOST_PLANES else f"{inputs} in all"
        subtitle = f"Each row is a filter, each column an input channel ({planes})."
    tiles = signed_colors(shown.reshape(-1, height, width), limit)
    rows, pitch = -(-len(tiles) // columns), box + gap
    bottom = HEADER + rows * pitch - gap
    content = max(left + columns * pitch - gap, KEY_WIDTH + 20)
    with Canvas(page_width(content, title, subtitle), bottom + 58) as canvas:
        canvas.header(title, subtitle)
        for index, tile in enumerate(tiles):
            row, column = divmod(index, columns)
            x, y = MARGIN + left + column * pitch, HEADER + row * pitch
            place(canvas, x, y, tile, box)
            if left and column == 0:
                _draw_number(canvas, x, y + box / 2, row)
        draw_signed_key(canvas, MARGIN + left, bottom + 18, f"{limit:.2g}")
        return canvas.png()


def _draw_colours(kernels: NDArray[np.floating], limit: float, title: str) -> bytes:
    """Filters (O, 3, KH, KW), each as it mixes colours and beside it its three planes, four filters a row."""
    subtitle = f"In colour, grey being zero, then red, green and blue by themselves: all on one scale of ±{limit:.2g}."
    box, gap, pitch, across = 36, 3, 42, min(4, len(kernels))
    group = NUMBER + 4 * (box + gap) - gap + 16
    rows = -(-len(kernels) // across)
    first = HEADER + 14
    bottom = first + rows * pitch
    with Canvas(page_width(max(across * group - 16, KEY_WIDTH + 20), title, subtitle), bottom + 52) as canvas:
        canvas.header(title, subtitle)
        for index, kernel in enumerate(kernels):
            row, column = divmod(index, across)
            x, y = MARGIN + column * group + NUMBER, first + row * pitch
            _draw_number(canvas, x, y + box / 2, index)
            for number, tile in enumerate([_mixed(kernel, limit), *signed_colors(kernel, limit)]):
                place(canvas, x + number * (box + gap), y, tile, box)
                if row == 0:
                    middle = x + number * (box + gap) + box / 2
                    canvas.text(middle, HEADER + 7, COLOURS[number], size=8, color=SOFT, ha="center")
        draw_signed_key(canvas, MARGIN + NUMBER, bottom + 12, f"{limit:.2g}")
        return canvas.png()


def _mixed(kernel: NDArray[np.floating], limit: float) -> Pixels:
    """A kernel (3, KH, KW) in its own colours, (KH, KW, 3): -limit dark, 0 grey, +limit bright."""
    colours = np.clip(np.nan_to_num(kernel / limit), -1, 1)
    tile: Pixels = np.rint(127.5 + 127.5 * colours).astype(np.uint8).transpose(1, 2, 0)
    return tile


def _draw_number(canvas: Canvas, x: float, y: float, number: int) -> None:
    """The number of a filter, left of x."""
    canvas.text(x - 6, y, str(number), size=8, color=SOFT, ha="right", va="center_baseline")

"""A picture and the outputs of layers for it in; what the layers make of it out, as PNG bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.runs.canvas import (
    HEADER,
    MARGIN,
    SCALE,
    SOFT,
    Canvas,
    Pixels,
    elide,
    enlarge,
    framed,
    rgb,
    signed_colors,
)
from convscope.runs.tiles import (
    LINE,
    draw_name,
    draw_signed_key,
    draw_silent_key,
    largest,
    place,
    shape_text,
    tile_height,
)

MOST_LAYERS, MOST_CHANNELS = 40, 12
MOST_OF_ONE = 256  # channels, where one layer is shown alone
GRIDS = ((32, 8, 72), (96, 12, 46), (MOST_OF_ONE, 16, 33))  # up to so many channels: columns, and points of a tile
LEFT = 148  # points for what stands left of the tiles


def feature_maps(
    picture: Pixels,
    maps: Mapping[str, NDArray[np.floating]],
    caption: Sequence[str],
    title: str = "What each layer makes of it",
) -> bytes:
    """A picture and what the layers make of it: a row a layer, each on a signed scale of its own.

    Args:
        picture: uint8, (C, H, W).
        maps: layer name -> output, (C, h, w), in the network's order. Of more than 40 layers, 40 evenly
            spaced ones are shown; of a layer's channels the first 12. A channel of zeros is hatched.
        caption: what the picture is and what it was taken for; up to three lines.

    Raises:
        ValueError: no layers, a map without three axes, a picture that is not uint8 with 1 or 3 channels.
    """
    names = list(maps)
    if not names or any(maps[name].ndim != 3 or maps[name].size == 0 for name in names):
        shapes = {name: maps[name].shape for name in names}
        raise ValueError(f"expected a map (C, h, w) for at least one layer, got {shapes}")
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(len(names), MOST_LAYERS)).round().astype(int)]
    box, pitch, left, first = 48, 62, MARGIN + LEFT, _below(picture)
    layers = f"{len(chosen)} of {len(names)} layers" if len(chosen) < len(names) else f"{len(names)} layers"
    subtitle = f"{layers}, each on its own scale; the first {MOST_CHANNELS} channels."
    columns = max(8, *(min(len(maps[name]), MOST_CHANNELS) for name in chosen))
    with Canvas(left + columns * (box + 4) - 4 + MARGIN, first + len(chosen) * pitch + 2) as canvas:
        canvas.header(title, subtitle)
        _draw_input(canvas, picture, caption, "max")
        for row, name in enumerate(chosen):
            values, y = maps[name], first + row * pitch
            limit, silent = largest(values), _silent(values)
            notes = [f"{shape_text(values)}   ±{limit:.2g}"]
            notes += [f"{silent.sum()} of {len(values)} silent"] if silent.any() else []
            draw_name(canvas, y, name, notes)
            for channel, plane in enumerate(values[:MOST_CHANNELS]):
                place(canvas, left + channel * (box + 4), y, signed_colors(plane, limit), box, silent=silent[channel])
        return canvas.png()


def layer_maps(
    picture: Pixels, values: NDArray[np.floating], caption: Sequence[str], title: str = "What a layer makes of it"
) -> bytes:
    """A picture and every channel of one layer's output for it, all on one signed scale, each with its number.

    Args:
        picture: uint8, (C, H, W).
        values: (K, h, w). Of more than 256 channels the first 256 are shown; one of zeros is hatched.
        caption: as for `feature_maps`.

    Raises:
        ValueError: `values` without three axes or empty, a picture that is not uint8 with 1 or 3 channels.
    """
    if values.ndim != 3 or values.size == 0:
        raise ValueError(f"expected a map (C, h, w), got {values.shape}")
    shown, limit, silent = values[:MOST_OF_ONE], largest(values), _silent(values)
    columns, box = next((columns, box) for most, columns, box in GRIDS if len(shown) <= most)
    cut = f"the first {len(shown)} of {len(values)} channels" if len(shown) < len(values) else f"{len(values)} channels"
    quiet = f"{silent.sum()} of {len(values)}" if silent.any() else "none"
    subtitle = f"{cut[0].upper()}{cut[1:]} of {values.shape[1]}×{values.shape[2]}, on one scale; silent: {quiet}."
    first, gap, down = _below(picture), 8, 20
    high = tile_height(values[:1], box)
    rows = -(-len(shown) // columns)
    width = max(columns * (box + gap) - gap, LEFT + 3 * 52 + 240)
    with Canvas(width + 2 * MARGIN, first + rows * (high + down) - down + 12 + MARGIN) as canvas:
        canvas.header(title, subtitle)
        _draw_input(canvas, picture, caption, f"{limit:.2g}")
        for channel, plane in enumerate(shown):
            row, column = divmod(channel, columns)
            x, y = MARGIN + column * (box + gap), first + row * (high + down)
            place(canvas, x, y, signed_colors(plane, limit), box, high, silent=silent[channel])
            canvas.text(x + box / 2, y + high + 10, str(channel), size=7.5, color=SOFT, ha="center")
        return canvas.png()


def _silent(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which channels of (K, h, w) are zero everywhere, (K,)."""
    return np.asarray(np.abs(values).max(axis=(1, 2)) == 0)


def _below(picture: Pixels) -> int:
    """Where the maps begin, below the picture."""
    return HEADER + max(72, tile_height(picture, 96)) + 26


def _draw_input(canvas: Canvas, picture: Pixels, caption: Sequence[str], limit: str) -> None:
    """The picture, beside it what it is, what it was taken for, and the keys to the maps."""
    left = MARGIN + LEFT
    canvas.image(left, HEADER, framed(enlarge(rgb(picture), 96 * SCALE)))
    canvas.text(MARGIN, HEADER + 12, "input", weight="bold")
    canvas.text(MARGIN, HEADER + 27, shape_text(picture), size=9, color=SOFT)
    for number, line in enumerate(caption):
        canvas.text(MARGIN, HEADER + 48 + LINE * number, elide(line, 140, 9.5), size=9.5)
    key = left + 3 * 52
    draw_signed_key(canvas, key, HEADER + 8, limit)
    draw_silent_key(canvas, key, HEADER + 56)

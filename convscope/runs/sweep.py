"""Many explanations of one picture in, all of them on one page out: PNG bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convscope.runs.canvas import HEADER, INK, MARGIN, SCALE, SOFT, Canvas, Pixels, elide, enlarge, framed, rgb, wrap
from convscope.runs.tiles import LINE, draw_heat_key, place, tile_height, wrap_name

ACROSS, WIDTH, GAP = 10, 80, 10  # tiles in a row, points of each and between two
MOST = 60  # tiles of a section
INPUT = 96  # points of the picture
GROUND = 244  # the grey on which it says why a tile is missing
NAME, SMALL = 8, 7.5


@dataclass(frozen=True, eq=False)
class SweepTile:
    """What a method or layer is called, a note on its map, and the map laid over the picture, or why there is none."""

    name: str
    note: str
    overlay: Pixels | None
    problem: str | None = None


def sweep(
    picture: Pixels,
    caption: Sequence[str],
    sections: Sequence[tuple[str, Sequence[SweepTile]]],
    title: str,
    subtitle: str,
) -> bytes:
    """A picture, and below it sections of explanations, ten in a row, each under its name.

    Args:
        picture: uint8, (C, H, W).
        caption: what it is and what it was taken for, a line each.
        sections: heading and tiles. Of more than 60 tiles 60 evenly spaced ones are shown, as the heading then says.
    """
    high = tile_height(picture, WIDTH)
    page = 2 * MARGIN + ACROSS * (WIDTH + GAP) - GAP
    blocks, y = [], HEADER + max(60, tile_height(picture, INPUT)) + 30.0
    for heading, tiles in sections:
        shown = [tiles[i] for i in np.linspace(0, len(tiles) - 1, min(len(tiles), MOST)).round().astype(int)]
        cut = f" ({len(shown)} of {len(tiles)} shown)" if len(shown) < len(tiles) else ""
        rows = [shown[first : first + ACROSS] for first in range(0, len(shown), ACROSS)]
        tops = [y + 16]  # of each row, and the bottom of the last
        for row in rows:
            tops.append(tops[-1] + high + 14 + 10 * (1 + max(len(_names(tile)) for tile in row)))
        blocks.append((heading + cut, y, list(zip(tops, rows, strict=False))))
        y = tops[-1] + 16
    with Canvas(page, y - 16 + 8) as canvas:
        canvas.header(title, subtitle)
        _draw_input(canvas, picture, caption)
        for heading, top, placed in blocks:
            canvas.text(MARGIN, top + 4, elide(heading, page - 2 * MARGIN, 10.5, "bold"), size=10.5, weight="bold")
            for row_top, row in placed:
                for column, tile in enumerate(row):
                    _draw_tile(canvas, MARGIN + column * (WIDTH + GAP), row_top, tile, high)
        return canvas.png()


def _draw_input(canvas: Canvas, picture: Pixels, caption: Sequence[str]) -> None:
    """The picture, beside it what it is, and the key to the heat."""
    pixels = framed(enlarge(rgb(picture), INPUT * SCALE))
    canvas.image(MARGIN, HEADER, pixels)
    left = MARGIN + INPUT + 16
    for number, line in enumerate(caption):
        canvas.text(left, HEADER + 10 + (LINE + 1) * number, line, size=10)
    draw_heat_key(canvas, left + 240, HEADER + 2, "grey stripes all round: an empty map, nothing argues for the class")


def _draw_tile(canvas: Canvas, x: float, y: float, tile: SweepTile, high: float) -> None:
    """The map or the reason for its absence, below it the name and the note."""
    if tile.overlay is None:
        canvas.image(x, y, framed(np.full((int(high * SCALE), WIDTH * SCALE, 3), GROUND, np.uint8)))
        room = max(1, int((high - 8) // 10))
        lines = wrap(tile.problem or "", WIDTH - 10, SMALL, room)
        for number, line in enumerate(lines):
            middle = y + high / 2 + 10 * (number - (len(lines) - 1) / 2)
            canvas.text(x + WIDTH / 2, middle, line, size=SMALL, color=SOFT, ha="center", va="center_baseline")
    else:
        place(canvas, x, y, tile.overlay, WIDTH, high)
    names = _names(tile)
    for number, line in enumerate(names):
        canvas.text(x, y + high + 12 + 10 * number, line, size=NAME, color=INK)
    canvas.text(x, y + high + 12 + 10 * len(names), elide(tile.note, WIDTH, SMALL), size=SMALL, color=SOFT)


def _names(tile: SweepTile) -> list[str]:
    """The tile's name in up to two lines."""
    return wrap_name(tile.name, WIDTH + GAP - 4, NAME, 2)

"""Pictures, and in each the part that excites a channel, in; a picture of these parts and where they lie out: PNG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convscope.runs.canvas import (
    HEADER,
    MARGIN,
    SCALE,
    SOFT,
    VERMILLION,
    Canvas,
    Pixels,
    elide,
    enlarge,
    framed,
    page_width,
    rgb,
    wrap,
)
from convscope.runs.tiles import LINE, draw_name, hatched

ACROSS = 4  # patches in a row, where one channel is shown alone
LEFT = 148  # points for the name of a channel


@dataclass(frozen=True, eq=False)
class PatchTile:
    """A picture, uint8 (C, H, W), a part of it as (top, left, bottom, right), and a line about it."""

    picture: Pixels
    box: tuple[int, int, int, int]
    caption: str

    @property
    def is_whole(self) -> bool:
        """Whether the part is all of the picture."""
        return self.box == (0, 0, *self.picture.shape[1:])


@dataclass(frozen=True, eq=False)
class PatchRow:
    """A channel's name, notes on it (a line each, up to two), and its patches, strongest first."""

    name: str
    notes: Sequence[str]
    tiles: Sequence[PatchTile]


def patch_rows(rows: Sequence[PatchRow], title: str, subtitle: str, footer: str = "") -> bytes:
    """The patches of several channels, a row each: the part, enlarged, and the picture with the part outlined.

    Parts are drawn on one scale; where every part is its whole picture, the picture stands alone.

    Args:
        footer: a line below, in up to two lines of the page; where there are no rows it stands alone.
    """
    cell, box = _cell([tile for row in rows for tile in row.tiles], 48)
    gap, pitch = 14, box + 30
    columns = max((len(row.tiles) for row in rows), default=0)
    width = page_width(LEFT + columns * (cell + gap) - gap if rows else 0, title, subtitle)
    below = wrap(footer, width - 2 * MARGIN, 9.5, 2)
    with Canvas(width, HEADER + len(rows) * pitch + LINE * len(below) + MARGIN) as canvas:
        canvas.header(title, subtitle)
        extent = _extent([tile for row in rows for tile in row.tiles])
        for number, row in enumerate(rows):
            y = HEADER + number * pitch
            draw_name(canvas, y, row.name, [elide(note, LEFT - 8, 9) for note in row.notes])
            for column, tile in enumerate(row.tiles):
                x = MARGIN + LEFT + column * (cell + gap)
                _draw(canvas, x, y, tile, box, extent, alone=cell == box)
                canvas.text(x, y + box + 12, elide(tile.caption, cell + 6, 8.5), size=8.5, color=SOFT)
        _draw_footer(canvas, HEADER + len(rows) * pitch, below)
        return canvas.png()


def channel_patches(tiles: Sequence[PatchTile], title: str, subtitle: str, footer: str = "") -> bytes:
    """The patches of one channel, larger, four a row, as in `patch_rows`; without any, the footer says why."""
    cell, box = _cell(tiles, 80)
    gap, pitch = 22, box + 36
    columns, rows = min(ACROSS, len(tiles)), -(-len(tiles) // ACROSS)
    width = page_width(columns * (cell + gap) - gap if tiles else 0, title, subtitle)
    below = wrap(footer, width - 2 * MARGIN, 9.5, 2)
    with Canvas(width, HEADER + rows * pitch + LINE * len(below) + MARGIN) as canvas:
        canvas.header(title, subtitle)
        extent = _extent(tiles)
        for number, tile in enumerate(tiles):
            row, column = divmod(number, ACROSS)
            x, y = MARGIN + column * (cell + gap), HEADER + row * pitch
            _draw(canvas, x, y, tile, box, extent, alone=cell == box)
            canvas.text(x, y + box + 15, elide(tile.caption, cell, 9.5), size=9.5, color=SOFT)
        _draw_footer(canvas, HEADER + rows * pitch, below)
        return canvas.png()


def outlined(picture: Pixels, box: tuple[int, int, int, int], side: int) -> Pixels:
    """A picture (C, H, W) enlarged into `side` pixels, what lies outside of `box` pale, the box framed: (h, w, 3)."""
    pixels = enlarge(rgb(picture), side)
    (height, width), (rows, columns) = picture.shape[1:], pixels.shape[:2]
    top, bottom = (round(y * rows / height) for y in (box[0], box[2]))
    left, right = (round(x * columns / width) for x in (box[1], box[3]))
    drawn = np.rint(255 - 0.45 * (255 - pixels.astype(float))).astype(np.uint8)
    if bottom - top > 6 and right - left > 6:  # else the frame would hide all that it frames
        inner = pixels[top + 2 : bottom - 2, left + 2 : right - 2]
        drawn[top:bottom, left:right] = framed(inner, VERMILLION, width=2)
    else:
        drawn[top:bottom, left:right] = np.frombuffer(bytes.fromhex(VERMILLION[1:]), np.uint8)
    return drawn


def _cell(tiles: Sequence[PatchTile], box: int) -> tuple[int, int]:
    """Points for one patch across, and of a tile in it: two tiles side by side, or one where all are whole pictures."""
    if tiles and all(tile.is_whole for tile in tiles):
        return round(1.4 * box), round(1.4 * box)
    return 2 * box + 4, box


def _extent(tiles: Sequence[PatchTile]) -> int:
    """The longest side of all parts, in their pictures' pixels."""
    sides = (max(bottom - top, right - left) for top, left, bottom, right in (tile.box for tile in tiles))
    return max(1, *sides, 1)


def _draw(canvas: Canvas, x: float, y: float, tile: PatchTile, box: float, extent: int, alone: bool) -> None:
    """The part and the picture, side by side in tiles of `box` points; or the picture alone."""
    side = int(box * SCALE)
    if alone:
        return _centre(canvas, x, y, framed(enlarge(rgb(tile.picture), side)), box)
    top, left, bottom, right = tile.box
    part = rgb(tile.picture)[top:bottom, left:right]
    if part.size:
        scale = side // extent if side >= 2 * extent else side / extent  # whole pixels, if that fills the tile
        _centre(canvas, x, y, framed(enlarge(part, max(1, int(scale * max(part.shape[:2]))))), box, left=True)
    else:  # nothing in the picture matters to it
        _centre(canvas, x, y, framed(hatched((side, side, 3))), box)
    _centre(canvas, x + box + 4, y, framed(outlined(tile.picture, tile.box, side)), box)


def _centre(canvas: Canvas, x: float, y: float, pixels: Pixels, box: float, left: bool = False) -> None:
    """Pixels in the middle of a box, or of its left edge."""
    height, width = pixels.shape[:2]
    canvas.image(x if left else x + (box - width / SCALE) / 2, y + (box - height / SCALE) / 2, pixels)


def _draw_footer(canvas: Canvas, y: float, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        canvas.text(MARGIN, y + 8 + LINE * number, line, size=9.5, color=SOFT)

"""Pixels and a place on a page in; tiles and the keys to their colours out: what several pictures have in common."""

import math

import numpy as np
from numpy.typing import NDArray

from convscope.explain import overlay
from convscope.runs.canvas import MARGIN, SCALE, SOFT, Canvas, Pixels, enlarge, framed, signed_colors, wrap

KEY_WIDTH = 160
LINE = 13  # points from one line of a caption to the next


def place(
    canvas: Canvas, x: float, y: float, tile: Pixels, box: float, high: float | None = None, silent: bool = False
) -> None:
    """`tile` (h, w, 3), enlarged and with a hairline around, in the middle of `box` by `high` (or `box`) points."""
    pixels = enlarge(tile, int(box * SCALE))
    edged = framed(hatched(pixels.shape) if silent else pixels)
    height, width = edged.shape[:2]
    canvas.image(x + (box - width / SCALE) / 2, y + ((high or box) - height / SCALE) / 2, edged)


def tile_height(picture: NDArray[np.generic], width: float) -> int:
    """How high a picture (C, H, W) is that fits into a square of `width` points: less where it is wide."""
    height: int = math.ceil(width * min(1.0, picture.shape[1] / picture.shape[2]))
    return height


def hatched(shape: tuple[int, ...]) -> Pixels:
    """Diagonal grey stripes, (h, w, 3): what stands for a channel that says nothing."""
    row, column = np.indices(shape[:2])
    stripe = (row + column) // 4 % 3 == 0
    return np.where(stripe[..., None], 190, 236).astype(np.uint8).repeat(3, axis=2)


def draw_signed_key(canvas: Canvas, x: float, y: float, limit: str) -> None:
    """The signed scale as a strip, from -limit over 0 to +limit."""
    ramp = np.linspace(-1, 1, KEY_WIDTH * SCALE)[None].repeat(9 * SCALE, 0)
    canvas.image(x, y, framed(signed_colors(ramp, 1)))
    canvas.text(x, y + 22, f"−{limit}", size=9, color=SOFT)
    canvas.text(x + KEY_WIDTH / 2, y + 22, "0", size=9, color=SOFT, ha="center")
    canvas.text(x + KEY_WIDTH, y + 22, f"+{limit}", size=9, color=SOFT, ha="right")


def draw_silent_key(canvas: Canvas, x: float, y: float) -> None:
    """What a hatched tile means."""
    canvas.image(x, y, framed(hatched((24, 48, 3))))
    canvas.text(x + 33, y + 10, "silent: zero everywhere for this picture", size=9, color=SOFT)


def draw_heat_key(canvas: Canvas, x: float, y: float, source: str) -> None:
    """The heat scale as overlays show it, over white and over black; beside it where the heat comes from."""
    ramp = np.linspace(0, 1, KEY_WIDTH * SCALE)[None].repeat(5 * SCALE, 0)
    bars = [overlay(np.full((1, *ramp.shape), ground, np.uint8), ramp) for ground in (255, 0)]
    canvas.image(x, y, framed(np.concatenate(bars)))
    canvas.text(x, y + 23, "none", size=9, color=SOFT)
    canvas.text(x + KEY_WIDTH, y + 23, "most in this picture", size=9, color=SOFT, ha="right")
    canvas.text(x + KEY_WIDTH + 20, y + 8.5, source, size=9, color=SOFT)


def largest(values: NDArray[np.floating]) -> float:
    """The largest finite magnitude, or 1 where there is none: the end of a signed scale."""
    return float(np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max()) or 1.0


def shape_text(values: NDArray[np.generic]) -> str:
    """(16, 8, 8) as 16×8×8."""
    return "×".join(map(str, values.shape))


def wrap_name(name: str, width: float, size: float, most: int, weight: str = "normal") -> list[str]:
    """A dotted or hyphened name in lines, broken after a dot or hyphen: its end is what tells it from others."""
    loose = name.replace(".", ". ").replace("-", "- ")
    return [line.replace(". ", ".").replace("- ", "-") for line in wrap(loose, width, size, most, weight)]


def draw_name(canvas: Canvas, y: float, name: str, notes: list[str]) -> None:
    """At the left of a row: a name in up to two lines of 140 points, then notes, each a line."""
    lines = wrap_name(name, 140, 10, 2, "bold")
    for number, line in enumerate(lines):
        canvas.text(MARGIN, y + 11 + 12 * number, line, weight="bold")
    for number, note in enumerate(notes, len(lines)):
        canvas.text(MARGIN, y + 12 + 12 * number, note, size=9, color=SOFT)

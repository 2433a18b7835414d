"""Every picture of a run: plain arrays go in, PNG bytes come out; the same input gives the same bytes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convscope.explain import overlay
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
    signed_colors,
    text_width,
    wrap,
)
from convscope.runs.confusion import confusion
from convscope.runs.curves import curves
from convscope.runs.network import network

__all__ = [
    "augmentation",
    "confusion",
    "curves",
    "explanation_gallery",
    "feature_maps",
    "filters",
    "network",
]

MOST_FILTERS, MOST_PLANES = 64, 32
MOST_LAYERS, MOST_CHANNELS = 40, 12
MOST_PICTURES = 10  # side by side
KEY_WIDTH = 160
LINE = 13  # points from one line of a caption to the next
_MARKS = {True: "✓ ", False: "✗ ", None: ""}


def filters(kernels: NDArray[np.floating], layer: str) -> bytes:
    """The learned kernels of one convolution, all on one scale that is symmetric around zero.

    Args:
        kernels: (O, I, KH, KW). With I = 3 each filter is one tile in its colours, grey being zero; with
            I = 1 a tile in signed colours; otherwise a row of its planes, one an input channel. The first 64
            filters and the first 32 planes are shown, and the picture says so where there are more.
        layer: the layer's name.

    Raises:
        ValueError: not four axes, or an empty one.
    """
    if kernels.ndim != 4 or kernels.size == 0:
        raise ValueError(f"expected kernels (O, I, KH, KW), got {kernels.shape}")
    outputs, inputs, height, width = kernels.shape
    limit = _limit(kernels)
    shown = kernels[:MOST_FILTERS, :MOST_PLANES]
    cut = f"{MOST_FILTERS} of {outputs} shown" if outputs > MOST_FILTERS else f"{outputs} filters"
    title = f"Kernels of {layer}: {cut}, {height}×{width}"
    columns, box, gap = (min(outputs, 8), 56, 8) if outputs <= 32 else (16, 36, 6)
    if inputs == 3:
        colors = np.clip(np.nan_to_num(shown / limit), -1, 1)
        tiles = np.rint(127.5 + 127.5 * colors).astype(np.uint8).transpose(0, 2, 3, 1)
        subtitle = f"Grey is zero; red, green and blue each span ±{limit:.2g}."
    elif inputs == 1:
        tiles = signed_colors(shown[:, 0], limit)
        subtitle = "One tile a filter: red weights add, blue ones subtract."
    else:
        tiles = signed_colors(shown.reshape(-1, height, width), limit)
        columns, gap = shown.shape[1], 4
        box = max(12, min(40, 480 // columns - gap, 900 // len(shown) - gap))
        planes = f"the first {MOST_PLANES} of {inputs} shown" if inputs > MOST_PLANES else f"{inputs} in all"
        subtitle = f"Each row is a filter, each column an input channel ({planes})."
    rows, pitch = -(-len(tiles) // columns), box + gap
    bottom = HEADER + rows * pitch - gap
    content = max(columns * pitch - gap, KEY_WIDTH + 20)
    with Canvas(page_width(content, title, subtitle), bottom + (MARGIN if inputs == 3 else 58)) as canvas:
        canvas.header(title, subtitle)
        for index, tile in enumerate(tiles):
            row, column = divmod(index, columns)
            _place(canvas, MARGIN + column * pitch, HEADER + row * pitch, tile, box)
        if inputs != 3:
            _draw_signed_key(canvas, MARGIN, bottom + 18, f"{limit:.2g}")
        return canvas.png()


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
    box, pitch, left, first = 48, 62, MARGIN + 148, HEADER + max(72, _height(picture, 96)) + 26
    layers = f"{len(chosen)} of {len(names)} layers" if len(chosen) < len(names) else f"{len(names)} layers"
    subtitle = f"{layers}, each on its own scale; the first {MOST_CHANNELS} channels."
    if len(names) == 1:
        (channels,) = (len(values) for values in maps.values())
        subtitle = f"{MOST_CHANNELS} of its {channels} channels." if channels > MOST_CHANNELS else "All its channels."
    columns = max(8, *(min(len(maps[name]), MOST_CHANNELS) for name in chosen))
    with Canvas(left + columns * (box + 4) - 4 + MARGIN, first + len(chosen) * pitch + 2) as canvas:
        canvas.header(title, subtitle)
        canvas.image(left, HEADER, framed(enlarge(rgb(picture), 96 * SCALE)))
        canvas.text(MARGIN, HEADER + 12, "input", weight="bold")
        canvas.text(MARGIN, HEADER + 27, _shape(picture), size=9, color=SOFT)
        for number, line in enumerate(caption):
            canvas.text(MARGIN, HEADER + 48 + LINE * number, elide(line, 140, 9.5), size=9.5)
        key = left + 3 * (box + 4)
        _draw_signed_key(canvas, key, HEADER + 8, "max")
        canvas.image(key, HEADER + 56, framed(_hatched((24, 48, 3))))
        canvas.text(key + 33, HEADER + 66, "silent: zero everywhere for this picture", size=9, color=SOFT)
        for row, name in enumerate(chosen):
            values, y = maps[name], first + row * pitch
            limit, silent = _limit(values), np.abs(values).max(axis=(1, 2)) == 0
            _label_layer(canvas, y, name, values, limit, int(silent.sum()))
            for channel, plane in enumerate(values[:MOST_CHANNELS]):
                _place(canvas, left + channel * (box + 4), y, signed_colors(plane, limit), box, silent=silent[channel])
        return canvas.png()


def explanation_gallery(
    pictures: Pixels,
    overlays: Sequence[Pixels],
    captions: Sequence[str],
    correct: Sequence[bool | None],
    source: str,
    title: str = "Where the evidence for the answer lies",
    subtitle: str = "The picture, and beside it what argues for the class.",
) -> bytes:
    """Pictures, each beside its explanation; wrong answers are framed and carry a cross, right ones a tick.

    Args:
        pictures: uint8, (N, C, H, W).
        overlays: N explanations, uint8 (h, w, 3), of any size.
        captions: N texts such as "3, taken for 8 (61 %)"; up to three lines.
        correct: N times whether the prediction was right; None where nobody knows.
        source: where the heat comes from, such as "grad-cam at group2.1.relu, 8×8"; stands beside the colour scale.

    Raises:
        ValueError: no pictures, or the lengths differ.
    """
    if not 0 < len(pictures) == len(overlays) == len(captions) == len(correct):
        lengths = [len(argument) for argument in (pictures, overlays, captions, correct)]
        raise ValueError(f"expected as many pictures, overlays, captions and verdicts, at least one; got {lengths}")
    verdicts = [None if verdict is None else bool(verdict) for verdict in correct]
    columns, gap = min(4, len(pictures)), 20
    width = 80 if columns > 2 else 160
    height = _height(pictures[0], width)
    card = 2 * width + 4
    texts = [wrap(_MARKS[right] + text, card, 9.5, 3) for right, text in zip(verdicts, captions, strict=True)]
    tops = [HEADER + 4]  # of each row, and the bottom of the last
    for first in range(0, len(texts), columns):
        tops.append(tops[-1] + height + 28 + LINE * max(map(len, texts[first : first + columns])))
    page = page_width(max(columns * (card + gap) - gap, KEY_WIDTH + 20 + text_width(source, 9)), title, subtitle)
    with Canvas(page, tops[-1] + 48) as canvas:
        canvas.header(title, subtitle)
        for index, right in enumerate(verdicts):
            x, y = MARGIN + index % columns * (card + gap), tops[index // columns]
            if right is False:
                ground = np.full((SCALE * (height + 6), SCALE * (card + 6), 3), 255, np.uint8)
                canvas.image(x - 4, y - 4, framed(ground, VERMILLION, width=2 * SCALE))
            _place(canvas, x, y, _matched(rgb(pictures[index]), overlays[index]), width, height)
            _place(canvas, x + width + 4, y, overlays[index], width, height)
            for number, text in enumerate(texts[index]):
                color = VERMILLION if right is False else SOFT
                canvas.text(x, y + height + 17 + number * LINE, text, size=9.5, color=color)
        _draw_heat_key(canvas, MARGIN, tops[-1], source)
        return canvas.png()


def augmentation(original: Pixels, augmented: Sequence[Pixels]) -> bytes:
    """Pictures in the first row, and below them what augmentation made of the same pictures.

    Args:
        original: uint8, (N, C, H, W); the first 10 are shown.
        augmented: batches of the same shape, one a row.

    Raises:
        ValueError: nothing to show, or a batch of another shape.
    """
    if len(original) == 0 or any(batch.shape != original.shape for batch in augmented):
        raise ValueError(f"expected batches of {original.shape}, got {[batch.shape for batch in augmented]}")
    count, box, left = min(len(original), MOST_PICTURES), 64, MARGIN + 64
    height = _height(original[0], box)
    title = "What augmentation does"
    subtitle = f"The same {count} pictures, drawn {len(augmented)} times."
    width = page_width(left - MARGIN + count * (box + 8) - 8, title, subtitle)
    with Canvas(width, HEADER + (len(augmented) + 1) * (height + 8) + 6 + MARGIN) as canvas:
        canvas.header(title, subtitle)
        for row, batch in enumerate([original, *augmented]):
            y = HEADER + row * (height + 8) + 8 * (row > 0)
            name = f"draw {row}" if row else "original"
            canvas.text(MARGIN, y + height / 2, name, size=9.5, color=SOFT, va="center_baseline")
            for column in range(count):
                _place(canvas, left + column * (box + 8), y, rgb(batch[column]), box, height)
        return canvas.png()


def _place(
    canvas: Canvas, x: float, y: float, tile: Pixels, box: float, high: float | None = None, silent: bool = False
) -> None:
    """`tile` (h, w, 3), enlarged and with a hairline around, in the middle of `box` by `high` (or `box`) points."""
    pixels = enlarge(tile, int(box * SCALE))
    edged = framed(_hatched(pixels.shape) if silent else pixels)
    height, width = edged.shape[:2]
    canvas.image(x + (box - width / SCALE) / 2, y + ((high or box) - height / SCALE) / 2, edged)


def _height(picture: Pixels, width: float) -> int:
    """How high a picture (C, H, W) is that fits into a square of `width` points: less where it is wide."""
    height: int = math.ceil(width * min(1.0, picture.shape[1] / picture.shape[2]))
    return height


def _matched(picture: Pixels, overlay: Pixels) -> Pixels:
    """The picture as large as its overlay, where that is a whole multiple, so that both are drawn at one size."""
    factor = max(1, len(overlay) // len(picture))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _hatched(shape: tuple[int, ...]) -> Pixels:
    """Diagonal grey stripes, (h, w, 3): what stands for a channel that says nothing."""
    row, column = np.indices(shape[:2])
    stripe = (row + column) // 4 % 3 == 0
    return np.where(stripe[..., None], 190, 236).astype(np.uint8).repeat(3, axis=2)


def _draw_signed_key(canvas: Canvas, x: float, y: float, limit: str) -> None:
    """The signed scale as a strip, from -limit over 0 to +limit."""
    ramp = np.linspace(-1, 1, KEY_WIDTH * SCALE)[None].repeat(9 * SCALE, 0)
    canvas.image(x, y, framed(signed_colors(ramp, 1)))
    canvas.text(x, y + 22, f"−{limit}", size=9, color=SOFT)
    canvas.text(x + KEY_WIDTH / 2, y + 22, "0", size=9, color=SOFT, ha="center")
    canvas.text(x + KEY_WIDTH, y + 22, f"+{limit}", size=9, color=SOFT, ha="right")


def _draw_heat_key(canvas: Canvas, x: float, y: float, source: str) -> None:
    """The heat scale as overlays show it, over white and over black; beside it where the heat comes from."""
    ramp = np.linspace(0, 1, KEY_WIDTH * SCALE)[None].repeat(5 * SCALE, 0)
    bars = [overlay(np.full((1, *ramp.shape), ground, np.uint8), ramp) for ground in (255, 0)]
    canvas.image(x, y, framed(np.concatenate(bars)))
    canvas.text(x, y + 23, "none", size=9, color=SOFT)
    canvas.text(x + KEY_WIDTH, y + 23, "most in this picture", size=9, color=SOFT, ha="right")
    canvas.text(x + KEY_WIDTH + 20, y + 8.5, source, size=9, color=SOFT)


def _limit(values: NDArray[np.floating]) -> float:
    """The largest finite magnitude, or 1 where there is none."""
    return float(np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max()) or 1.0


def _label_layer(canvas: Canvas, y: float, name: str, values: NDArray[np.floating], limit: float, silent: int) -> None:
    """Beside a row of maps: the layer's name in up to two lines, its shape and scale, how many are silent."""
    # broken after a dot rather than cut: the end of a dotted name is what tells the layer apart
    lines = [line.replace(". ", ".") for line in wrap(name.replace(".", ". "), 140, 10, 2, "bold")]
    notes = [f"{_shape(values)}   ±{limit:.2g}"]
    if silent:
        notes.append(f"{silent} of {len(values)} silent")
    for number, line in enumerate(lines):
        canvas.text(MARGIN, y + 11 + 12 * number, line, weight="bold")
    for number, note in enumerate(notes, len(lines)):
        canvas.text(MARGIN, y + 12 + 12 * number, note, size=9, color=SOFT)


def _shape(values: NDArray[np.generic]) -> str:
    """(16, 8, 8) as 16×8×8."""
    return "×".join(map(str, values.shape))

"""Every picture of a run: plain arrays go in, PNG bytes come out; the same input gives the same bytes."""

from collections.abc import Sequence

import numpy as np

from convscope.runs.canvas import (
    HEADER,
    MARGIN,
    SCALE,
    SOFT,
    VERMILLION,
    Canvas,
    Pixels,
    framed,
    page_width,
    rgb,
    text_width,
    wrap,
)
from convscope.runs.confusion import confusion
from convscope.runs.curves import curves
from convscope.runs.kernels import filters
from convscope.runs.maps import feature_maps, layer_maps
from convscope.runs.network import network
from convscope.runs.patch_rows import channel_patches, patch_rows
from convscope.runs.sweep import sweep
from convscope.runs.tiles import KEY_WIDTH, LINE, draw_heat_key, place, tile_height

__all__ = [
    "augmentation",
    "channel_patches",
    "confusion",
    "curves",
    "explanation_gallery",
    "feature_maps",
    "filters",
    "layer_maps",
    "network",
    "patch_rows",
    "sweep",
]

MOST_PICTURES = 10  # side by side
_MARKS = {True: "✓ ", False: "✗ ", None: ""}


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
    height = tile_height(pictures[0], width)
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
            place(canvas, x, y, _matched(rgb(pictures[index]), overlays[index]), width, height)
            place(canvas, x + width + 4, y, overlays[index], width, height)
            for number, text in enumerate(texts[index]):
                color = VERMILLION if right is False else SOFT
                canvas.text(x, y + height + 17 + number * LINE, text, size=9.5, color=color)
        draw_heat_key(canvas, MARGIN, tops[-1], source)
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
    height = tile_height(original[0], box)
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
                place(canvas, left + column * (box + 8), y, rgb(batch[column]), box, height)
        return canvas.png()


def _matched(picture: Pixels, overlay: Pixels) -> Pixels:
    """The picture as large as its overlay, where that is a whole multiple, so that both are drawn at one size."""
    factor = max(1, len(overlay) // len(picture))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)

"""Curves in, small SVG drawings out, as text that stands in a page and takes its colours from the page's style."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

WIDTH, HEIGHT = 220, 128  # of a curve's drawing, in units of its own
LEFT, RIGHT, TOP, BOTTOM = 26, 6, 8, 20
CLASSES = {"random": "noise", "centred Gaussian": "blob", "edge detector": "edges"}  # of the controls' lines, in CSS


def curve_chart(shares: Values, values: Values, controls: Mapping[str, Values], label: str) -> str:
    """The mean of a method's curves with its 95 % band, and those of the controls on the same pictures.

    Args:
        shares: (S,), of the pixels, in [0, 1].
        values: (N, S), in [0, 1].
        controls: name -> (N, S).
        label: what a screen reader says.
    """
    x = LEFT + shares * (WIDTH - LEFT - RIGHT)
    mean, reach = values.mean(axis=0), 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    band = np.concatenate([np.clip(mean + reach, 0, 1), np.clip(mean - reach, 0, 1)[::-1]])
    lines = [
        f'<polyline class="{CLASSES.get(name, "noise")}" points="{_points(x, _y(of.mean(axis=0)))}"/>'
        for name, of in controls.items()
    ]
    return "".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">',
            *(_grid(value, f"{value:g}") for value in (0, 0.5, 1)),
            f'<text x="{LEFT}" y="{HEIGHT - 5}">0 %</text>',
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{100 * shares[-1]:.0f} % of pixels</text>',
            f'<polygon class="band" points="{_points(np.concatenate([x, x[::-1]]), _y(band))}"/>',
            *lines,
            f'<polyline class="method" points="{_points(x, _y(mean))}"/>',
            "</svg>",
        ]
    )


def likeness_chart(means: Sequence[float | None], threshold: float, label: str) -> str:
    """A method's rank correlation with its old maps, from 1 at the left, stage by stage, and the threshold."""
    width, height = 132, 40
    values = [1.0, *means]
    points = [
        (3 + i * (width - 6) / max(1, len(values) - 1), 4 + (1 - max(-0.25, v)) * (height - 8) / 1.25)
        for i, v in enumerate(values)
        if v is not None
    ]
    lines = {name: 4 + (1 - at) * (height - 8) / 1.25 for name, at in (("axis", 0.0), ("limit", threshold))}
    marks = "".join(f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in points)
    joined = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return "".join(
        [
            f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">',
            *(f'<line class="{name}" x1="0" x2="{width}" y1="{at:.1f}" y2="{at:.1f}"/>' for name, at in lines.items()),
            f'<polyline class="method" points="{joined}"/>{marks}</svg>',
        ]
    )


def _y(values: Values) -> Values:
    at: Values = TOP + (1 - values) * (HEIGHT - TOP - BOTTOM)
    return at


def _grid(value: float, text: str) -> str:
    at = float(_y(np.array(value)))
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
    return f'{line}<text x="{LEFT - 5}" y="{at + 3.5:.1f}" text-anchor="end">{text}</text>'


def _points(x: Values, y: Values) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

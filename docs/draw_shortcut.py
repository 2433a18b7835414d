"""Draws docs/images/shortcut.png: a network that learned its object, and one that learned a mark, told apart by heat.

`python docs/draw_shortcut.py` trains the recipe `shapes` twice, into runs/shortcut/clean and runs/shortcut/marked,
where they are not there already; that takes some minutes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # this checkout, not another that is installed

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data import ImageSet, load_configured
from convscope.data.shapes import plant_mark
from convscope.evaluate import evaluate
from convscope.explain import display_size, explain, overlay
from convscope.planted import METHOD, ShortcutCheck, check_shortcut
from convscope.runs import Run, load_run
from convscope.runs.artifacts import MANIFEST, write_file
from convscope.runs.canvas import (
    BLUE,
    HAIRLINE,
    HEADER,
    INK,
    MARGIN,
    SCALE,
    SOFT,
    VERMILLION,
    Canvas,
    Pixels,
    framed,
    rgb,
    text_width,
    wrap,
)
from convscope.runs.captions import percent
from convscope.runs.own_pictures import own_pictures
from convscope.train import train

ROOT = Path(__file__).parent.parent
OUT, RUNS = ROOT / "docs" / "images" / "shortcut.png", ROOT / "runs" / "shortcut"
CORNER = "bottom-right"
HEAT = "grad-cam"  # what is shown: smooth, and known to most readers
SHOWN = 6
BOX, GAP, LEFT = 96, 8, MARGIN + 158  # points: a picture, between two, from the page's edge to the first
BAR = 96  # points that stand for all pictures


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two networks: what it is called, how it did, what the audit says, its heat over the pictures shown."""

    name: str
    color: str
    accuracies: dict[str, float]
    check: ShortcutCheck
    overlays: list[Pixels]


def main() -> None:
    """Train what is missing, measure, draw."""
    clean = _run("clean", {})
    marked = _run("marked", {"data__shortcut": 0.95})
    _, test = load_configured(clean.config.data)
    spoilt = plant_mark(test, 1.0, CORNER, (0, 3))
    shown = spoilt.take(_choice(test, spoilt))
    sides = [
        _side(clean, "Trained without marks", BLUE, test, spoilt, shown),
        _side(marked, "Trained with marks", VERMILLION, test, spoilt, shown),
    ]
    write_file(OUT, draw(shown, sides))
    for side in sides:
        print(f"{side.name}: {side.accuracies}; {side.check.sentence}")
    print(OUT.relative_to(ROOT))


def draw(shown: ImageSet, sides: list[Side]) -> bytes:
    """The pictures in the first row, and a row for each network below."""
    width = LEFT + SHOWN * (BOX + GAP) - GAP
    pitch = BOX + 62
    with Canvas(width + MARGIN, HEADER + BOX + 36 + len(sides) * pitch + 26) as canvas:
        canvas.header(
            "Right for the wrong reason",
            "Two networks, one recipe. In the second one's training pictures, a small square gave the answer away.",
        )
        canvas.text(MARGIN, HEADER + 12, "Never seen before", size=10.5, weight="bold")
        about = "Test pictures, in the corner the square whose colour tells the class. Outlined: the object."
        for number, line in enumerate(wrap(about, LEFT - MARGIN - 18, 9.5, 5)):
            canvas.text(MARGIN, HEADER + 30 + 13 * number, line, size=9.5, color=SOFT)
        for column, picture in enumerate(shown.images):
            x = LEFT + column * (BOX + GAP)
            pixels = _grown(rgb(picture))
            canvas.image(x, HEADER, framed(outlined(pixels, shown.masks[column])))
            name = shown.classes[shown.labels[column]]
            canvas.text(x + BOX / 2, HEADER + BOX + 16, name, size=9.5, color=SOFT, ha="center")
        for row, side in enumerate(sides):
            _draw_side(canvas, HEADER + BOX + 36 + row * pitch, side, shown)
        note = f"Heat: {HEAT} for the true class, brightest where most of it is. The audit goes by {METHOD} over 512 "
        note += "training pictures and by their masks, not by any test picture."
        canvas.text(MARGIN, canvas.height - MARGIN, note, size=9, color=SOFT)
        return canvas.png()


def _draw_side(canvas: Canvas, y: float, side: Side, shown: ImageSet) -> None:
    """A row: who it is and how it did, its heat, and what the audit says of it."""
    canvas.text(MARGIN, y + 12, side.name, size=10.5, weight="bold", color=side.color)
    for number, (name, share) in enumerate(side.accuracies.items()):
        top = y + 30 + 32 * number
        canvas.text(MARGIN, top, name, size=9.5, color=SOFT)
        canvas.image(MARGIN, top + 6, _bar(1, HAIRLINE))
        canvas.image(MARGIN, top + 6, _bar(share, side.color))
        canvas.text(MARGIN + BAR + 8, top + 13.5, percent(share), size=10, color=INK)
    for column, pixels in enumerate(side.overlays):
        canvas.image(LEFT + column * (BOX + GAP), y, framed(outlined(pixels, shown.masks[column])))
    verdict = side.check.sentence
    color = VERMILLION if side.check.shortcut else SOFT
    canvas.text(LEFT, y + BOX + 17, "Audit", size=9.5, weight="bold", color=color)
    indent = text_width("Audit", 9.5, "bold") + 8
    for number, line in enumerate(wrap(verdict, SHOWN * (BOX + GAP) - GAP - indent, 9.5, 2)):
        canvas.text(LEFT + indent, y + BOX + 17 + 13 * number, line, size=9.5, color=color)


def outlined(pixels: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """A picture that was enlarged by a whole factor, with a white line round what `mask` (H, W) covers."""
    factor = len(pixels) // len(mask)
    inside = np.pad(mask.repeat(factor, axis=0).repeat(factor, axis=1), 1, mode="edge")
    height, width = pixels.shape[:2]
    around = [inside[down : down + height, right : right + width] for down in range(3) for right in range(3)]
    line = np.logical_or.reduce(around) & ~np.logical_and.reduce(around)
    shadow = _widened(line) & ~line
    drawn = np.where(shadow[..., None], (pixels * 0.55).astype(np.uint8), pixels)
    return np.where(line[..., None], np.uint8(255), drawn).astype(np.uint8)


def _widened(line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With the pixels beside it."""
    height, width = line.shape
    padded = np.pad(line, 1)
    shifted = [padded[down : down + height, right : right + width] for down in range(3) for right in range(3)]
    return np.asarray(np.logical_or.reduce(shifted))


def _side(run: Run, name: str, color: str, test: ImageSet, spoilt: ImageSet, shown: ImageSet) -> Side:
    """Measure one network."""
    accuracies = {"with the square": evaluate(run, spoilt).accuracy, "without it": evaluate(run, test).accuracy}
    training, _ = own_pictures(run).split
    found = explain(run.model, run.preprocess(shown.images), shown.labels, method=HEAT)
    heat = found.heatmaps(display_size(*shown.shape[1:]))
    overlays = [_resized(overlay(_paled(picture), one, 0.8)) for picture, one in zip(shown.images, heat, strict=True)]
    return Side(name, color, accuracies, check_shortcut(run, training), overlays)


def _run(name: str, settings: dict[str, float]) -> Run:
    """The finished run of that name, trained where it is missing."""
    folder = RUNS / name
    return load_run(folder) if (folder / MANIFEST).exists() else train("shapes", out=folder, progress=True, **settings)


def _choice(test: ImageSet, spoilt: ImageSet) -> NDArray[np.int64]:
    """The first picture of each of some classes whose object the mark leaves alone."""
    whole = (test.masks == spoilt.masks).all(axis=(1, 2))
    return np.array([np.flatnonzero(whole & (test.labels == label))[0] for label in range(SHOWN)])


def _paled(picture: Pixels) -> Pixels:
    """(3, H, W) with most of its colour gone, so that heat stands out."""
    grey = picture.mean(axis=0, keepdims=True)
    return np.rint(0.2 * picture + 0.8 * (0.75 * grey + 40)).astype(np.uint8)


def _grown(pixels: Pixels) -> Pixels:
    """Each pixel a square, so that the picture fills its box."""
    factor = BOX * SCALE // len(pixels)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _resized(pixels: Pixels) -> Pixels:
    """What `overlay` drew at 256 pixels, at the size of the box."""
    side = BOX * SCALE
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))


def _bar(share: float, color: str) -> Pixels:
    """A filled bar of that share of the whole length."""
    pixels = np.empty((8 * SCALE, max(1, round(BAR * SCALE * share)), 3), np.uint8)
    pixels[:] = np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
    return pixels


if __name__ == "__main__":
    main()

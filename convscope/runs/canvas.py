"""Canvas: text and exact pixels placed in points from the top left corner go in, PNG or SVG bytes come out."""

import io
import threading
import unicodedata
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Self

import matplotlib
import numpy as np
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.transforms import Affine2D, Transform
from numpy.typing import NDArray
from PIL import Image

from convscope.explain.colors import colorize_signed

Pixels = NDArray[np.uint8]  # (height, width, 3), red green blue

SCALE = 2  # pixels a point: sharp on a screen of high density, and still readable at half size
MARGIN = 20  # points of white around everything
FONT = "DejaVu Sans"  # comes with matplotlib

# Okabe & Ito (2008), "Color Universal Design": blue and vermillion stay apart in every colour blindness;
# the vermillion is a shade darker than theirs, so that text in it has a contrast of 4.5 on white
BLUE, VERMILLION = "#0072b2", "#c04f00"
INK, SOFT, HAIRLINE = "#1c2126", "#59636e", "#dde2e7"

_TO_PATH = TextToPath()
# style.context swaps state of the whole process, so one picture is drawn at a time
_LOCK = threading.RLock()


class Canvas:
    """A white page of `width` x `height` points; use it in a ``with`` block and return `.png()` from there.

    Nothing depends on the user's matplotlibrc and nothing of matplotlib's global state is changed on leaving.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = int(np.ceil(width)), int(np.ceil(height))
        self._pixels = np.full((self.height * SCALE, self.width * SCALE, 3), 255, np.uint8)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(_LOCK)
        self._stack.enter_context(style.context(["default", _style()]))
        size = (self.width / 72, self.height / 72)
        self.figure = Figure(figsize=size, dpi=72 * SCALE, facecolor="none")
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def header(self, title: str, subtitle: str) -> None:
        """What is seen, and how to read it, in the upper left corner: down to `HEADER` points."""
        room = self.width - 2 * MARGIN
        self.text(MARGIN, 33, elide(title, room, 14, "bold"), size=14, weight="bold")
        self.text(MARGIN, 52, elide(subtitle, room, 10), size=10, color=SOFT)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 10,
        color: str = INK,
        weight: str = "normal",
        ha: str = "left",
        va: str = "baseline",
        rotation: float = 0,
    ) -> None:
        """Write `text` at (x, y); a character that no installed font has as �."""
        text = _printable(text)
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            family=_families(text),
            size=size,
            color=color,
            weight=weight,
            ha=ha,
            va=va,
            rotation=rotation,
            rotation_mode="anchor",
        )

    def image(self, x: float, y: float, pixels: Pixels) -> None:
        """Copy `pixels` onto the page, unscaled, their upper left corner at (x, y)."""
        top, left = round(y * SCALE), round(x * SCALE)
        self._pixels[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with their plotting area at (x, y) and of this size; no background, quiet lines."""
        bottom = 1 - (y + height) / self.height
        axes = self.figure.add_axes(
            (x / self.width, bottom, width / self.width, height / self.height), facecolor="none"
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y")
        return axes

    def png(self) -> bytes:
        """The page as a PNG; the same drawing gives the same bytes (no date, no version inside)."""
        page, raw = Image.fromarray(self._pixels), io.BytesIO()
        self.figure.savefig(raw, format="rgba", dpi=72 * SCALE)
        ink = Image.frombytes("RGBA", page.size, raw.getvalue())
        page.paste(ink, mask=ink)
        buffer = io.BytesIO()
        page.save(buffer, format="PNG")
        return buffer.getvalue()

    def svg(self) -> bytes:
        """The page as an SVG on white, text as outlines so that it looks the same everywhere; always the same bytes.

        What `image` copied onto the page is not in it.
        """
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    @property
    def points(self) -> Transform:
        """From points, counted from the upper left corner, to where matplotlib draws: for shapes of one's own."""
        return Affine2D().scale(1 / self.width, -1 / self.height).translate(0, 1) + self.figure.transFigure


HEADER = 68  # points from the top of a page to what stands under its header


def page_width(content: float, title: str, subtitle: str) -> float:
    """A page's width in points: its content or its header (up to 680), whichever is wider, and margins."""
    header = max(text_width(title, 14, "bold"), text_width(subtitle, 10)) + 1
    return max(content, min(header, 680)) + 2 * MARGIN


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """The width of `text` in points."""
    text = _printable(text)
    font = FontProperties(family=_families(text), size=size, weight=weight)
    width, _, _ = _TO_PATH.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def elide(text: str, width: float, size: float, weight: str = "normal") -> str:
    """`text`, cut and ended with an ellipsis where it is wider than `width` points."""
    if text_width(text, size, weight) <= width:
        return text
    while text and text_width(text + "…", size, weight) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: float, size: float, most: int, weight: str = "normal") -> list[str]:
    """`text` in at most `most` lines of `width` points, broken at spaces; what does not fit is elided."""
    lines: list[str] = []
    for word in filter(None, text.split(" ")):  # a no-break space keeps a number and its unit together
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (text_width(longer, size, weight) <= width or len(lines) == most):
            lines[-1] = longer
        else:
            lines.append(word)
    return [elide(line, width, size, weight) for line in lines]


def class_labels(classes: Sequence[str], width: float, size: float) -> list[str]:
    """Names of classes as a picture can show them: at most `width` points wide, and never as empty boxes.

    A name with a character that no installed font has becomes its number, "no. 7".
    """
    return [elide(name, width, size) if is_printable(name) else f"no. {number}" for number, name in enumerate(classes)]


def is_printable(text: str) -> bool:
    """Whether the fonts of this machine have every character of `text`."""
    return all(_family_with(character) for character in _composed(text))


def rgb(picture: Pixels) -> Pixels:
    """uint8 (C, H, W) with 1 or 3 channels -> (H, W, 3); ValueError for anything else."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[0] not in (1, 3):
        raise ValueError(f"expected uint8 (1 or 3, H, W), got {picture.dtype} {picture.shape}")
    return np.broadcast_to(picture, (3, *picture.shape[1:])).transpose(1, 2, 0)


def signed_colors(values: NDArray[np.floating], limit: float) -> Pixels:
    """Values (...) -> colours (..., 3): blue at -limit, near white at 0 (and for nan), orange at +limit."""
    return colorize_signed(np.clip(np.nan_to_num(values / limit), -1, 1))


def enlarge(pixels: Pixels, box: int) -> Pixels:
    """(h, w, 3) so that its longer side fills `box` pixels as nearly as whole, unblurred pixels can.

    A picture larger than half the box would leave it half empty: it is fitted exactly, nearest neighbour; one
    that is larger than the box is averaged down.
    """
    height, width = pixels.shape[:2]
    factor = box // max(height, width)
    if factor >= 2:
        return pixels.repeat(factor, 0).repeat(factor, 1)
    size = (max(1, round(width * box / max(height, width))), max(1, round(height * box / max(height, width))))
    way = Image.Resampling.NEAREST if factor else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, way))


def framed(pixels: Pixels, color: str = HAIRLINE, width: int = 1) -> Pixels:
    """`pixels` with a border of `width` pixels around them, so that white content has an edge."""
    height, length = pixels.shape[:2]
    out = np.empty((height + 2 * width, length + 2 * width, 3), np.uint8)
    out[:] = np.frombuffer(bytes.fromhex(color[1:]), np.uint8)
    out[width:-width, width:-width] = pixels
    return out


@cache
def _family_with(character: str) -> str | None:
    """The font family that draws `character`: DejaVu Sans, or else the first installed one that has it."""
    for family, path in ((FONT, font_manager.findfont(FONT)), *_installed()):
        if font_manager.get_font(path).get_char_index(ord(character)):
            return family
    return None


@cache
def _installed() -> list[tuple[str, str]]:
    """(family, file) of the upright fonts of this machine, those without serifs first.

    Matplotlib's own are left out: they are for formulas, or draw every character as a box.
    """
    own = Path(matplotlib.get_data_path())
    fonts = [
        (font.name, font.fname)
        for font in font_manager.fontManager.ttflist
        if font.style == "normal" and own not in Path(font.fname).parents
    ]
    return sorted(fonts, key=lambda font: ("Sans" not in font[0], *font))


def _families(text: str) -> list[str]:
    """The font families that draw `text` together."""
    return list(dict.fromkeys([FONT, *filter(None, map(_family_with, text))]))


def _printable(text: str) -> str:
    """`text` with � for each character that no font has."""
    return "".join(c if _family_with(c) else "\N{REPLACEMENT CHARACTER}" for c in _composed(text))


def _composed(text: str) -> str:
    """`text` with letter and accent in one character: a name from a Mac's disk has them apart."""
    return unicodedata.normalize("NFC", text)


def _style() -> dict[str, object]:
    """What differs from matplotlib's own defaults."""
    return {
        "font.family": [FONT],
        "text.parse_math": False,  # a class may be called "$5 note"
        "text.color": INK,
        "axes.edgecolor": "#b9c1c9",
        "axes.labelcolor": SOFT,
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "xtick.color": "#b9c1c9",
        "ytick.color": "#b9c1c9",
        "xtick.labelcolor": SOFT,
        "ytick.labelcolor": SOFT,
        "xtick.labelsize": 9.5,
        "ytick.labelsize": 9.5,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "grid.color": "#e8ebee",
        "grid.linewidth": 0.8,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "svg.hashsalt": "convscope",  # or its ids would be drawn by lot
    }

"""Shapes in points from the top left corner go onto a canvas: boxes, discs, lines, arrowheads."""

from collections.abc import Sequence

from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from convscope.runs.canvas import Canvas

Point = tuple[float, float]  # (x, y)


def box(
    canvas: Canvas,
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    edge: str = "none",
    radius: float = 0,
) -> None:
    """A filled rectangle with its upper left corner at (x, y), corners rounded by `radius`; `edge` is a hairline."""
    style = f"round,pad=0,rounding_size={radius}" if radius else "square,pad=0"
    patch = FancyBboxPatch((x, y), width, height, style, fc=fill, ec=edge, lw=0.8, transform=canvas.points)
    canvas.figure.add_artist(patch)


def disc(canvas: Canvas, middle: Point, radius: float, fill: str, edge: str = "none") -> None:
    """A filled circle."""
    canvas.figure.add_artist(Circle(middle, radius, fc=fill, ec=edge, lw=1.2, transform=canvas.points))


def line(canvas: Canvas, points: Sequence[Point], color: str, width: float = 1.2, radius: float = 0) -> None:
    """A line through `points` in level and upright pieces, its corners rounded by `radius`."""
    places, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        places += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    outline = Path([*places, points[-1]], [*codes, Path.LINETO])
    canvas.figure.add_artist(PathPatch(outline, fc="none", ec=color, lw=width, transform=canvas.points))


def arrowhead(canvas: Canvas, tip: Point, color: str, right: bool = False, size: float = 4) -> None:
    """A filled arrowhead with its `tip` there; it points down, or to the `right`."""
    (x, y), wing = tip, 0.6 * size
    back = [(x - size, y - wing), (x - size, y + wing)] if right else [(x - wing, y - size), (x + wing, y - size)]
    outline = Path([tip, *back, tip], closed=True)
    canvas.figure.add_artist(PathPatch(outline, fc=color, ec="none", transform=canvas.points))


def _towards(corner: Point, other: Point, distance: float) -> Point:
    """The point at `distance` from a corner on the level or upright way to another, at most half of the way there."""
    across, down = other[0] - corner[0], other[1] - corner[1]
    share = min(distance / (abs(across) + abs(down) or 1), 0.5)
    return corner[0] + share * across, corner[1] + share * down

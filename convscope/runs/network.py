"""The anatomy of a network in, its diagram out: PNG or SVG bytes; data flow from top to bottom, a row a stage."""

from itertools import pairwise

from convscope.runs.anatomy import Anatomy, Group, Shortcut, Stage
from convscope.runs.canvas import BLUE, HAIRLINE, HEADER, INK, MARGIN, SOFT, VERMILLION, Canvas, page_width
from convscope.runs.captions import magnitude, percent
from convscope.runs.network_layout import (
    BAR,
    INDENT,
    INSET,
    NAME,
    NOTE,
    SMALL,
    SPLIT,
    TINY,
    TITLE,
    UNIT,
    Layout,
    follower_width,
    own_name,
    shape_text,
)
from convscope.runs.outlines import arrowhead, box, disc, line

FILL = {"input": "#ffffff", "convolution": BLUE, "linear": VERMILLION, "sum": "#ffffff", "other": "#e3e8ed"}
LETTERS = {"convolution": "#ffffff", "linear": "#ffffff"}  # on these fills; elsewhere ink
GROUND, TRACK, FLOW, OUTPUT = "#f3f5f7", "#e6ecf0", "#8a96a3", "#9db4c6"


def network(found: Anatomy, name: str, form: str = "png") -> bytes:
    """Draw a network as its module is nested: groups as panels, layers as boxes, shortcuts as arcs to their sums.

    Beside each stage stands its output as a block as wide as it has channels and as high as it has rows, and
    its share of the network's parameters and multiply-adds. The same network gives the same bytes.

    Args:
        found: what `anatomy` gives.
        name: of the model, for the title.
        form: "png" or "svg".
    """
    layout = Layout(found)
    size = shape_text(found.stages[0])
    title = f"{name}, layer by layer"
    subtitle = (
        f"{magnitude(found.parameters)} parameters, {magnitude(found.multiply_adds)} multiply-adds "
        f"for a picture of {size}. Data flow downwards."
    )
    with Canvas(page_width(layout.width, title, subtitle), layout.bottom + MARGIN - 4) as canvas:
        canvas.header(title, subtitle)
        draw(canvas, layout)
        return canvas.svg() if form == "svg" else canvas.png()


def draw(canvas: Canvas, layout: Layout) -> None:
    """The diagram below the header of a page."""
    for group, top, bottom in layout.panels:
        _draw_panel(canvas, layout, group, top, bottom)
    _draw_headings(canvas, layout)
    main = [y for y, stage in zip(layout.rows, layout.found.stages, strict=True) if not stage.shortcut]
    for above, below in pairwise(main):
        line(canvas, [(layout.spine, above), (layout.spine, below - UNIT / 2)], FLOW)
        arrowhead(canvas, (layout.spine, below - UNIT / 2), FLOW)
    for shortcut in layout.found.shortcuts:
        _draw_shortcut(canvas, layout, shortcut)
    for y, stage in zip(layout.rows, layout.found.stages, strict=True):
        _draw_stage(canvas, layout, stage, y)
        _draw_output(canvas, layout, stage, y)
        _draw_share(canvas, layout.columns[2], y, stage.parameters, layout.found.parameters)
        _draw_share(canvas, layout.columns[3], y, stage.multiply_adds, layout.found.multiply_adds)


def _draw_panel(canvas: Canvas, layout: Layout, group: Group, top: float, bottom: float) -> None:
    """The ground of a group and its name; of one that holds others, its shares too."""
    inset, outer = INSET * layout.depth(group), layout.is_outer(group)
    x = MARGIN + inset + INDENT
    fill = "#ffffff" if layout.depth(group) % 2 else GROUND
    box(canvas, MARGIN + inset, top, layout.width - 2 * inset, bottom - top, fill, HAIRLINE, 5)
    if not outer:
        y = layout.rows[group.first]
        canvas.text(x, y, group.name, size=NAME, weight="bold", va="center_baseline")
        if group.type and group.last > group.first:
            canvas.text(x, y + 12, group.type, size=TINY, color=SOFT, va="center_baseline")
        return
    y = top + TITLE / 2 + 1
    words = f"{group.name}  {group.type}".strip()
    canvas.text(x, y, words, size=NAME, weight="bold", va="center_baseline")
    inside = layout.found.stages[group.first : group.last + 1]
    for column, part, whole in (
        (layout.columns[2], sum(s.parameters for s in inside), layout.found.parameters),
        (layout.columns[3], sum(s.multiply_adds for s in inside), layout.found.multiply_adds),
    ):
        canvas.text(column + BAR + 6, y, percent(part / whole), size=SMALL, weight="bold", va="center_baseline")


def _draw_headings(canvas: Canvas, layout: Layout) -> None:
    blocks, _, parameters, spent = layout.columns
    y = HEADER + 12
    for x, name, note in (
        (layout.box_x, "Layer", "and what follows it"),
        (blocks, "Output", NOTE),
        (parameters, "Parameters", "share of all"),
        (spent, "Multiply-adds", "share of all"),
    ):
        canvas.text(x, y, name, size=NAME, weight="bold")
        canvas.text(x, y + 12, note, size=TINY, color=SOFT)


def _draw_stage(canvas: Canvas, layout: Layout, stage: Stage, y: float) -> None:
    """The box of a layer with its name, or the sign of a sum; the followers attached on its right."""
    (x, width), top = layout.box(stage), y - UNIT / 2
    right, letters = x + width, LETTERS.get(stage.kind, INK)
    if stage.kind == "sum":
        disc(canvas, (layout.spine, y), UNIT / 2, FILL["sum"], INK)
        for way in ([(layout.spine - 4, y), (layout.spine + 4, y)], [(layout.spine, y - 4), (layout.spine, y + 4)]):
            line(canvas, way, INK)
    else:
        box(canvas, x, top, width, UNIT, FILL[stage.kind], HAIRLINE if stage.kind == "input" else "none", 3)
        canvas.text(x + 7, y, stage.label, size=NAME, color=letters, weight="bold", va="center_baseline")
    if not stage.shortcut and stage.kind != "input":
        canvas.text(right - 7, y, own_name(stage), size=TINY, color=letters, ha="right", va="center_baseline")
    for word in stage.followers:
        box(canvas, right + 2, top + 2, follower_width(word) - 2, UNIT - 4, "#ffffff", FLOW, 3)
        middle = right + 1 + follower_width(word) / 2
        canvas.text(middle, y, word, size=TINY, color=SOFT, ha="center", va="center_baseline")
        right += follower_width(word)


def _draw_output(canvas: Canvas, layout: Layout, stage: Stage, y: float) -> None:
    """The block of an output, as wide as its channels and as high as its rows, and its size in numbers."""
    (per_channel, per_row), shape = layout.block_scale, stage.output_shape
    width, height = max(1, per_channel * shape[0]), max(1.2, per_row * shape[1] if len(shape) == 3 else 0)
    blocks, sizes, *_ = layout.columns
    if stage.label != "Flatten":
        box(canvas, blocks, y - height / 2, width, height, OUTPUT)
    canvas.text(sizes, y, shape_text(stage), size=SMALL, va="center_baseline")


def _draw_share(canvas: Canvas, x: float, y: float, part: int, whole: int) -> None:
    """A bar as long as its share of the whole; nothing where there is none."""
    if part:
        box(canvas, x, y - 3, BAR, 6, TRACK, radius=1.5)
        box(canvas, x, y - 3, max(1, BAR * part / whole), 6, BLUE)
        canvas.text(x + BAR + 6, y, percent(part / whole), size=SMALL, va="center_baseline")


def _draw_shortcut(canvas: Canvas, layout: Layout, shortcut: Shortcut) -> None:
    """An arc from where the data part to the sum; a projection's box will stand on it."""
    first = shortcut.start + 1
    split, end = layout.rows[first] - UNIT / 2 - SPLIT, layout.rows[shortcut.end]
    tip = layout.spine - UNIT / 2
    line(canvas, [(layout.spine, split), (layout.lane, split), (layout.lane, end), (tip, end)], INK, 1.2, radius=9)
    disc(canvas, (layout.spine, split), 2.2, INK)
    arrowhead(canvas, (tip, end), INK, right=True)

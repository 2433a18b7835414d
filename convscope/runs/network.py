"""The anatomy of a network in, its diagram out: PNG or SVG bytes; data flow from top to bottom, a row a stage."""

from dataclasses import dataclass
from functools import cached_property

from convscope.runs.anatomy import Anatomy, Group, Shortcut, Stage
from convscope.runs.canvas import BLUE, HAIRLINE, HEADER, INK, MARGIN, SOFT, VERMILLION, Canvas, page_width, text_width
from convscope.runs.captions import magnitude, percent
from convscope.runs.outlines import arrowhead, box, line

PITCH, UNIT = 22, 16  # points from row to row, and of a row's box
HEADING = 34  # points for the names of the columns
TITLE, PAD, GAP, SPLIT = 17, 5, 8, 9  # of a group: its name, within it, between two; where a shortcut leaves
BLOCK_WIDTH, BLOCK_HEIGHT = 92, 18  # of the widest and of the highest output
BAR, SHARE = 50, 46  # a bar, and the share beside it
FILL = {"input": "#ffffff", "convolution": BLUE, "linear": VERMILLION, "sum": "#ffffff", "other": "#e3e8ed"}
LETTERS = {"convolution": "#ffffff", "linear": "#ffffff"}  # on these fills; elsewhere ink
GROUND, TRACK, FLOW, OUTPUT = "#f3f5f7", "#e6ecf0", "#8a96a3", "#9db4c6"
NAME, SMALL, TINY = 9, 8.5, 8  # type sizes


def network(found: Anatomy, name: str, form: str = "png") -> bytes:
    """Draw a network as the module itself is nested: groups as panels, layers as boxes, shortcuts as arcs to their sums.

    Beside each stage stands its output as a block as wide as it has channels and as high as it has rows, and
    its share of the network's parameters and multiply-adds. The same network gives the same bytes.

    Args:
        found: what `anatomy` gives.
        name: of the model, for the title.
        form: "png" or "svg".
    """
    layout = Layout(found)
    size = "×".join(map(str, found.stages[0].output_shape))
    title = f"{name}, layer by layer"
    subtitle = (
        f"{magnitude(found.parameters)} parameters, {magnitude(found.multiply_adds)} multiply-adds "
        f"for a picture of {size}. Data flow downwards."
    )
    with Canvas(page_width(layout.width, title, subtitle), layout.bottom + MARGIN - 4) as canvas:
        canvas.header(title, subtitle)
        draw(canvas, layout)
        return canvas.svg() if form == "svg" else canvas.png()


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything of a diagram stands, in points; computed from the anatomy and the widths of its words."""

    found: Anatomy

    @cached_property
    def rows(self) -> list[float]:
        """The middle of each stage's row."""
        return self._vertical[0]

    @cached_property
    def panels(self) -> list[tuple[Group, float, float]]:
        """Each group with its top and bottom."""
        return self._vertical[1]

    @cached_property
    def bottom(self) -> float:
        return max([self.rows[-1] + PITCH / 2, *(bottom for _, _, bottom in self.panels)])

    @cached_property
    def _vertical(self) -> tuple[list[float], list[tuple[Group, float, float]]]:
        y, rows, tops, panels = float(HEADER + HEADING), [], {}, []
        for index in range(len(self.found.stages)):
            for group in (g for g in self.found.groups if g.first == index):
                y += GAP / 2
                tops[group.name] = y
                y += TITLE if self.is_outer(group) else PAD
            y += SPLIT if any(s.start == index - 1 for s in self.found.shortcuts) else 0
            rows.append(y + PITCH / 2)
            y += PITCH
            for group in reversed([g for g in self.found.groups if g.last == index]):
                y += PAD
                panels.append((group, tops[group.name], y))
                y += GAP / 2
        return rows, panels[::-1]  # outer ones first, so that inner ones are drawn over them

    def is_outer(self, group: Group) -> bool:
        """Whether other groups lie inside, so that the name needs a line of its own."""
        return any(group.holds(other) for other in self.found.groups)

    def depth(self, group: Group) -> int:
        return sum(other.holds(group) for other in self.found.groups)

    @cached_property
    def label_x(self) -> float:
        """Where the names of the innermost groups begin."""
        return MARGIN + 9 + 7 * max(map(self.depth, self.found.groups), default=0)

    @cached_property
    def lane(self) -> float:
        """Where shortcuts run down, left of the boxes."""
        inner = [group for group in self.found.groups if not self.is_outer(group)]
        names = [max(text_width(group.name, NAME, "bold"), text_width(group.type, TINY)) for group in inner]
        boxes = [_words(stage) / 2 for stage in self.found.stages if stage.shortcut]
        return self.label_x + max([0, *(name + 12 for name in names), *boxes])

    @cached_property
    def box_x(self) -> float:
        """Where the boxes of the main way begin."""
        if not self.found.groups and not self.found.shortcuts:
            return MARGIN
        if not self.found.shortcuts:
            return self.lane
        boxes = [self.unit_width(stage) - _words(stage) / 2 + 12 for stage in self.found.stages if stage.shortcut]
        return self.lane + max([22, *boxes])

    @cached_property
    def box_width(self) -> float:
        return max(_words(s) for s in self.found.stages if not s.shortcut)

    def unit_width(self, stage: Stage) -> float:
        """Of a box with its followers attached."""
        own = _words(stage) if stage.shortcut else self.box_width
        return own + sum(_follower(word) for word in stage.followers)

    def unit_x(self, stage: Stage) -> float:
        return self.lane - _words(stage) / 2 if stage.shortcut else self.box_x

    @cached_property
    def spine(self) -> float:
        """Where data flow down the main way: through the middle of its boxes."""
        return self.box_x + self.box_width / 2

    @cached_property
    def columns(self) -> tuple[float, float, float, float]:
        """Where the blocks, the sizes, and the bars of parameters and of multiply-adds begin."""
        blocks = self.box_x + max(self.unit_width(s) for s in self.found.stages if not s.shortcut) + 16
        sizes = blocks + BLOCK_WIDTH + 8
        bars = sizes + max(*(text_width(_shape(s), SMALL) for s in self.found.stages), 24) + 16
        return blocks, sizes, bars, bars + BAR + SHARE + 10

    @cached_property
    def width(self) -> float:
        """Of the content, without margins."""
        return self.columns[3] + BAR + SHARE + (self.label_x - MARGIN if self.found.groups else 0) - MARGIN

    @cached_property
    def block_scale(self) -> tuple[float, float]:
        """Points a channel and points a row; flattening, which only reads the numbers in a line, has no block."""
        shapes = [s.output_shape for s in self.found.stages if s.label != "Flatten"]
        return BLOCK_WIDTH / max(s[0] for s in shapes), BLOCK_HEIGHT / max(s[1] for s in shapes if len(s) == 3)


def draw(canvas: Canvas, layout: Layout) -> None:
    """The diagram below the header of a page."""
    for group, top, bottom in layout.panels:
        _draw_panel(canvas, layout, group, top, bottom)
    _draw_headings(canvas, layout)
    main = [y for y, stage in zip(layout.rows, layout.found.stages, strict=True) if not stage.shortcut]
    for above, below in zip(main, main[1:], strict=False):
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
    inset, outer = 7 * layout.depth(group), layout.is_outer(group)
    fill = "#ffffff" if layout.depth(group) % 2 else GROUND
    box(canvas, MARGIN + inset, top, layout.width - 2 * inset, bottom - top, fill, HAIRLINE, 5)
    if not outer:
        y = layout.rows[group.first]
        canvas.text(MARGIN + inset + 9, y, group.name, size=NAME, weight="bold", va="center_baseline")
        if group.type and group.last > group.first:
            canvas.text(MARGIN + inset + 9, y + 12, group.type, size=TINY, color=SOFT, va="center_baseline")
        return
    y = top + TITLE / 2 + 1
    words = f"{group.name}  {group.type}".strip()
    canvas.text(MARGIN + inset + 9, y, words, size=NAME, weight="bold", va="center_baseline")
    inside = layout.found.stages[group.first : group.last + 1]
    for x, part, whole in (
        (layout.columns[2], sum(s.parameters for s in inside), layout.found.parameters),
        (layout.columns[3], sum(s.multiply_adds for s in inside), layout.found.multiply_adds),
    ):
        canvas.text(x + BAR + 6, y, percent(part / whole), size=SMALL, weight="bold", va="center_baseline")


def _draw_headings(canvas: Canvas, layout: Layout) -> None:
    blocks, _, parameters, spent = layout.columns
    y = HEADER + 12
    for x, name, note in (
        (layout.box_x, "Layer", "and what follows it"),
        (blocks, "Output", "wide as its channels, high as its rows"),
        (parameters, "Parameters", "share of all"),
        (spent, "Multiply-adds", "share of all"),
    ):
        canvas.text(x, y, name, size=NAME, weight="bold")
        canvas.text(x, y + 12, note, size=TINY, color=SOFT)


def _draw_stage(canvas: Canvas, layout: Layout, stage: Stage, y: float) -> None:
    """The box of a layer with its name, or the sign of a sum; the followers attached on its right."""
    x, top = layout.unit_x(stage), y - UNIT / 2
    width = _words(stage) if stage.shortcut else layout.box_width
    right, letters = x + width, LETTERS.get(stage.kind, INK)
    if stage.kind == "sum":
        box(canvas, layout.spine - UNIT / 2, top, UNIT, UNIT, FILL["sum"], INK, UNIT / 2 - 0.01)
        for way in ([(layout.spine - 4, y), (layout.spine + 4, y)], [(layout.spine, y - 4), (layout.spine, y + 4)]):
            line(canvas, way, INK)
    else:
        box(canvas, x, top, width, UNIT, FILL[stage.kind], HAIRLINE if stage.kind == "input" else "none", 3)
        canvas.text(x + 7, y, stage.label, size=NAME, color=letters, weight="bold", va="center_baseline")
    if not stage.shortcut and stage.kind != "input":
        name = stage.name.rpartition(".")[2]
        canvas.text(right - 7, y, name, size=TINY, color=letters, ha="right", va="center_baseline")
    for word in stage.followers:
        box(canvas, right + 2, top + 2, _follower(word) - 2, UNIT - 4, "#ffffff", FLOW, 3)
        middle = right + 1 + _follower(word) / 2
        canvas.text(middle, y, word, size=TINY, color=SOFT, ha="center", va="center_baseline")
        right += _follower(word)


def _draw_output(canvas: Canvas, layout: Layout, stage: Stage, y: float) -> None:
    """The block of an output, as wide as its channels and as high as its rows, and its size in numbers."""
    (per_channel, per_row), shape = layout.block_scale, stage.output_shape
    width, height = max(1, per_channel * shape[0]), max(1.2, per_row * shape[1] if len(shape) == 3 else 0)
    blocks, sizes, *_ = layout.columns
    if stage.label != "Flatten":
        box(canvas, blocks, y - height / 2, width, height, OUTPUT)
    canvas.text(sizes, y, _shape(stage), size=SMALL, va="center_baseline")


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
    box(canvas, layout.spine - 2, split - 2, 4, 4, INK, radius=1.99)
    arrowhead(canvas, (tip, end), INK, right=True)


def _words(stage: Stage) -> float:
    """How wide a box must be for its words."""
    own = text_width(stage.label, NAME, "bold") + 14
    if stage.kind in ("input", "sum") or stage.shortcut:
        return own
    return own + text_width(stage.name.rpartition(".")[2], TINY) + 12


def _follower(word: str) -> float:
    """How wide the box of a follower is, with the gap before it."""
    return text_width(word, TINY) + 11


def _shape(stage: Stage) -> str:
    return "×".join(map(str, stage.output_shape))

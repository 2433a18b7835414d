"""The anatomy of a network goes in; out comes where everything of its diagram stands, in points of the page."""

from dataclasses import dataclass
from functools import cached_property

from convscope.runs.anatomy import Anatomy, Group, Stage
from convscope.runs.canvas import HEADER, MARGIN, text_width

PITCH, UNIT = 22, 16  # points from row to row, and of a row's box
HEADING = 34  # points for the names of the columns
TITLE, PAD, GAP, SPLIT = 17, 5, 8, 9  # of a group: its name, within it, between two; where a shortcut leaves
INSET, INDENT = 7, 9  # from the edge of a group to that of one inside, and to its words
BLOCK_WIDTH, BLOCK_HEIGHT = 92, 18  # of the widest and of the highest output
BAR, SHARE = 50, 46  # a bar, and the share beside it
NAME, SMALL, TINY = 9, 8.5, 8  # type sizes
NOTE = "channels wide, rows high"  # how to read a block


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
        """Where the diagram ends."""
        return max([self.rows[-1] + PITCH / 2, *(bottom for _, _, bottom in self.panels)])

    @cached_property
    def _vertical(self) -> tuple[list[float], list[tuple[Group, float, float]]]:
        """Rows and panels from top to bottom, each group opened before its first stage and closed after its last."""
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
        """How many groups it lies in."""
        return sum(other.holds(group) for other in self.found.groups)

    @cached_property
    def label_x(self) -> float:
        """Where the names of the innermost groups begin."""
        return MARGIN + INDENT + INSET * max(map(self.depth, self.found.groups), default=0)

    @cached_property
    def lane(self) -> float:
        """Where shortcuts run down, left of the boxes."""
        inner = [group for group in self.found.groups if not self.is_outer(group)]
        names = [max(text_width(group.name, NAME, "bold"), text_width(group.type, TINY)) for group in inner]
        boxes = [box_width(stage) / 2 for stage in self.found.stages if stage.shortcut]
        return self.label_x + max([0, *(name + 12 for name in names), *boxes])

    @cached_property
    def box_x(self) -> float:
        """Where the boxes of the main way begin."""
        if not self.found.shortcuts:
            return self.lane if self.found.groups else MARGIN
        return max([self.lane + 22, *(self.end(stage) + 12 for stage in self.found.stages if stage.shortcut)])

    @cached_property
    def main_width(self) -> float:
        """Of the boxes of the main way: all are as wide as the widest."""
        return max(box_width(stage) for stage in self.found.stages if not stage.shortcut)

    def box(self, stage: Stage) -> tuple[float, float]:
        """Where the box of a layer begins, and its width."""
        own = box_width(stage)
        return (self.lane - own / 2, own) if stage.shortcut else (self.box_x, self.main_width)

    def end(self, stage: Stage) -> float:
        """Where the last follower of a layer ends."""
        return sum(self.box(stage)) + sum(map(follower_width, stage.followers))

    @cached_property
    def spine(self) -> float:
        """Where data flow down the main way: through the middle of its boxes."""
        return self.box_x + self.main_width / 2

    @cached_property
    def columns(self) -> tuple[float, float, float, float]:
        """Where the blocks, the sizes, and the bars of parameters and of multiply-adds begin."""
        blocks = max(map(self.end, self.found.stages)) + 16
        sizes = blocks + BLOCK_WIDTH + 8
        ends = [sizes + text_width(shape_text(stage), SMALL) for stage in self.found.stages]
        bars = max(*ends, blocks + text_width(NOTE, TINY)) + 16
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


def box_width(stage: Stage) -> float:
    """How wide a box must be for its words."""
    own = text_width(stage.label, NAME, "bold") + 14
    if stage.kind in ("input", "sum") or stage.shortcut:
        return own
    return own + text_width(own_name(stage), TINY) + 12


def follower_width(word: str) -> float:
    """How wide the box of a follower is, with the gap before it."""
    return text_width(word, TINY) + 11


def shape_text(stage: Stage) -> str:
    """(16, 8, 8) as 16×8×8."""
    return "×".join(map(str, stage.output_shape))


def own_name(stage: Stage) -> str:
    """The last part of a dotted name."""
    return stage.name.rpartition(".")[2]

"""The drawn network: texts that do not meet, blocks and bars of the right size, arcs from the split to the sum."""

import io
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from convscope.layers import Conv2D, Flatten
from convscope.models import build_model
from convscope.models.base import ImageClassifier, named
from convscope.runs.anatomy import anatomy
from convscope.runs.canvas import BLUE, INK, MARGIN, SCALE, VERMILLION, Canvas, page_width
from convscope.runs.captions import magnitude
from convscope.runs.network import FILL, OUTPUT, TRACK, draw, network
from convscope.runs.network_layout import BAR, BLOCK_HEIGHT, BLOCK_WIDTH, UNIT, Layout

Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int]
SHAPES: list[Shape] = [(1, 28, 28), (3, 33, 47)]
MODELS = {
    "lenet5": ("lenet5", {}),
    "simple-cnn": ("simple-cnn", {}),
    "deep-cnn": ("deep-cnn", {"num_blocks": 4}),
    "tiny-resnet": ("tiny-resnet", {}),
    "wide-tiny-resnet": ("tiny-resnet", {"base_channels": 96, "stem_pool": 2}),
    "no-skip": ("tiny-resnet", {"skip": False}),
}


def built(key: str, shape: Shape) -> ImageClassifier:
    name, options = MODELS[key]
    return build_model(name, shape, 10, **options)


@pytest.fixture(params=[(key, shape) for key in MODELS for shape in SHAPES], ids=str, scope="module")
def drawing(request: pytest.FixtureRequest) -> tuple[Layout, Canvas]:
    """The layout of a network, and the page on which it is drawn."""
    key, shape = request.param
    layout = Layout(anatomy(built(key, shape), shape))
    with Canvas(page_width(layout.width, "", ""), layout.bottom + MARGIN) as canvas:
        draw(canvas, layout)
    return layout, canvas


def in_points(canvas: Canvas, box: Bbox) -> Bbox:
    """An extent as the renderer gives it, in points from the upper left corner."""
    return Bbox(canvas.points.inverted().transform(box.get_points()))


def texts(canvas: Canvas) -> list[tuple[str, Bbox]]:
    renderer = FigureCanvasAgg(canvas.figure).get_renderer()
    return [(text.get_text(), in_points(canvas, text.get_window_extent(renderer))) for text in canvas.figure.texts]


def boxes(canvas: Canvas, *fills: str) -> list[tuple[float, float, float, float]]:
    """(x, y, width, height) of the boxes filled so, from the top down."""
    patches = [p for p in canvas.figure.patches + canvas.figure.artists if isinstance(p, FancyBboxPatch)]
    found = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in patches if hexed(p) in fills]
    return sorted(found, key=lambda box: (box[1], box[0]))


def hexed(patch: FancyBboxPatch | Circle) -> str:
    red, green, blue, _ = np.rint(255 * np.array(patch.get_facecolor())).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_no_text_meets_another_or_leaves_the_page(drawing: tuple[Layout, Canvas]) -> None:
    layout, canvas = drawing
    placed = texts(canvas)
    assert len(placed) > 4 * len(layout.found.stages)
    for (one, a), (other, b) in combinations(placed, 2):
        assert not a.overlaps(b), (one, other)
    for word, box in placed:
        assert min(box.x0, box.x1) >= MARGIN - 1, word
        assert max(box.x0, box.x1) <= canvas.width - MARGIN + 1, word
        assert max(box.y0, box.y1) <= canvas.height, word


def test_every_word_stands_in_its_box_or_beside_all(drawing: tuple[Layout, Canvas]) -> None:
    _, canvas = drawing
    filled = boxes(canvas, BLUE, VERMILLION, FILL["other"])
    letters = [box for box in filled if box[3] == UNIT]
    assert letters
    for word, text in texts(canvas):
        left, right, top, bottom = text.x0, text.x1, min(text.y0, text.y1), max(text.y0, text.y1)
        for x, y, width, height in letters:
            apart = right <= x or x + width <= left or bottom <= y + 1 or y + height - 1 <= top
            within = x < left and right < x + width and y - 1 < top and bottom < y + height + 1
            assert apart or within, word
        for x, y, width, height in boxes(canvas, OUTPUT, TRACK):
            assert right <= x or x + width <= left or bottom <= y or y + height <= top, word


def test_a_box_a_layer_in_the_colour_of_its_kind(drawing: tuple[Layout, Canvas]) -> None:
    layout, canvas = drawing
    stages = list(zip(layout.found.stages, layout.rows, strict=True))
    for kind in ("convolution", "linear", "other"):
        middles = [y + height / 2 for _, y, _, height in boxes(canvas, FILL[kind]) if height == UNIT]
        assert middles == pytest.approx([y for stage, y in stages if stage.kind == kind])
    discs = [p for p in canvas.figure.artists + canvas.figure.patches if isinstance(p, Circle)]
    sums = [p.center for p in discs if p.radius == UNIT / 2]
    assert sums == [(layout.spine, y) for stage, y in stages if stage.kind == "sum"]
    words = [word for word, _ in texts(canvas)]
    for stage, _ in stages:
        assert "×".join(map(str, stage.output_shape)) in words
        assert set(stage.followers) <= set(words)


def test_blocks_are_as_wide_as_the_channels_and_as_high_as_the_rows(drawing: tuple[Layout, Canvas]) -> None:
    layout, canvas = drawing
    shapes = [stage.output_shape for stage in layout.found.stages if stage.label != "Flatten"]
    widest, highest = max(s[0] for s in shapes), max(s[1] for s in shapes if len(s) == 3)
    blocks = boxes(canvas, OUTPUT)
    assert len(blocks) == len(shapes)
    for (_, _, width, height), shape in zip(blocks, shapes, strict=True):
        assert width == pytest.approx(max(1, BLOCK_WIDTH * shape[0] / widest))
        rows = shape[1] if len(shape) == 3 else 0
        assert height == pytest.approx(max(1.2, BLOCK_HEIGHT * rows / highest))


def test_bars_are_shares_of_the_whole(drawing: tuple[Layout, Canvas]) -> None:
    layout, canvas = drawing
    bars = [box for box in boxes(canvas, BLUE) if box[3] == 6]
    for column, parts in (
        (layout.columns[2], [stage.parameters for stage in layout.found.stages]),
        (layout.columns[3], [stage.multiply_adds for stage in layout.found.stages]),
    ):
        widths = [width for x, _, width, _ in bars if x == column]
        assert widths == pytest.approx([max(1, BAR * part / sum(parts)) for part in parts if part])


def test_arcs_lead_from_the_split_to_the_sum(drawing: tuple[Layout, Canvas]) -> None:
    layout, canvas = drawing
    lines = [p for p in canvas.figure.artists + canvas.figure.patches if isinstance(p, PathPatch)]
    arcs = [p.get_path().vertices for p in lines if len(p.get_path().vertices) == 8]
    assert len(arcs) == len(layout.found.shortcuts)
    for vertices, shortcut in zip(arcs, layout.found.shortcuts, strict=True):
        (x, split), (tip, end) = vertices[0], vertices[-1]
        assert layout.rows[shortcut.start] + UNIT / 2 < split < layout.rows[shortcut.start + 1] - UNIT / 2
        assert (x, end) == (layout.spine, layout.rows[shortcut.end])
        assert tip == layout.spine - UNIT / 2
        assert vertices[:, 0].min() == layout.lane < layout.box_x
        for index in shortcut.through:  # the projection stands on the arc
            left, width = layout.box(layout.found.stages[index])
            assert left + width / 2 == pytest.approx(layout.lane)
            assert split < layout.rows[index] < end
    for group, top, bottom in layout.panels:
        inside = layout.rows[group.first : group.last + 1]
        assert top < inside[0] - UNIT / 2
        assert inside[-1] + UNIT / 2 < bottom


def test_panels_hold_what_they_hold_and_no_more() -> None:
    layout = Layout(anatomy(built("tiny-resnet", (3, 33, 47)), (3, 33, 47)))
    extents = {group.name: (top, bottom) for group, top, bottom in layout.panels}
    for outer, inner in (("group1", "group1.0"), ("group1", "group1.1"), ("group2", "group2.1")):
        assert extents[outer][0] < extents[inner][0] < extents[inner][1] < extents[outer][1]
    for above, below in (("stem", "group1"), ("group1", "group2"), ("group1.0", "group1.1")):
        assert extents[above][1] < extents[below][0]
    order = [group.name for group, _, _ in layout.panels]
    assert order.index("group1") < order.index("group1.0")  # drawn first, or it would hide what it holds


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (640, "640"),
        (61_706, "61,706"),
        (999_499, "999,499"),
        (1_000_000, "1 million"),
        (163_245_000, "163 million"),
        (999_400_000, "999 million"),
        (999_600_000, "1 billion"),
        (21_385_216_000, "21.4 billion"),
    ],
)
def test_large_numbers_in_three_digits(count: int, text: str) -> None:
    assert magnitude(count) == text


def pixels(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_page_as_pixels() -> None:
    """Boxes and bars are where the layout says, in full colour, under and over what they should be."""
    found = anatomy(built("tiny-resnet", (3, 33, 47)), (3, 33, 47))
    layout, page = Layout(found), pixels(network(found, "tiny-resnet"))
    assert page.shape[1] == pytest.approx((layout.width + 2 * MARGIN) * SCALE, abs=2)
    for stage, y in zip(found.stages, layout.rows, strict=True):
        row = page[round(y * SCALE)]
        x, width = layout.box(stage)
        if stage.kind in ("convolution", "linear"):
            edge = tuple(row[round((x + 3) * SCALE)])
            assert f"#{edge[0]:02x}{edge[1]:02x}{edge[2]:02x}" == FILL[stage.kind]
            assert tuple(row[round((x + width - 3) * SCALE)]) == edge
    split = found.shortcuts[2]  # the arc with the projection: ink on the lane, above it and below it
    ink = tuple(bytes.fromhex(INK[1:]))
    for y in (layout.rows[split.start + 1], layout.rows[split.end] - 10):
        near = page[round(y * SCALE), round((layout.lane - 1) * SCALE) : round((layout.lane + 1) * SCALE) + 1]
        assert any(tuple(pixel) == ink for pixel in near)


def test_the_same_network_gives_the_same_bytes_as_png_and_as_svg() -> None:
    found = anatomy(built("lenet5", (1, 28, 28)), (1, 28, 28))
    for form in ("png", "svg"):
        assert network(found, "lenet5", form) == network(found, "lenet5", form)
    assert network(found, "lenet5") != network(found, "another")


def test_the_svg_is_the_same_page() -> None:
    found = anatomy(built("tiny-resnet", (3, 33, 47)), (3, 33, 47))
    root = ET.fromstring(network(found, "tiny-resnet", "svg"))
    height, width, _ = pixels(network(found, "tiny-resnet")).shape
    assert (root.attrib["width"], root.attrib["height"]) == (f"{width // SCALE}pt", f"{height // SCALE}pt")
    styles = [element.attrib.get("style", "") for element in root.iter()]
    boxes_drawn = sum(stage.kind == "convolution" for stage in found.stages)
    bars = sum(bool(stage.parameters) + bool(stage.multiply_adds) for stage in found.stages)
    assert sum(f"fill: {BLUE}" in style for style in styles) == boxes_drawn + bars
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))  # outlines: no font is asked for


def test_a_network_without_groups_begins_at_the_margin() -> None:
    model = nn.Sequential(named(conv=Conv2D(2, 3, 3), flatten=Flatten(), head=nn.Linear(3 * 4 * 7, 5)))
    layout = Layout(anatomy(model, (2, 6, 9)))
    assert layout.box_x == MARGIN
    assert (layout.found.groups, layout.panels) == ([], [])

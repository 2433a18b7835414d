"""The page of a sweep: ten tiles in a row, each the overlay that it was given, or the reason why there is none."""

import io

import numpy as np
import pytest
from PIL import Image

from convscope.runs import plots
from convscope.runs.canvas import HEADER, MARGIN, SCALE, enlarge, rgb
from convscope.runs.sweep import ACROSS, GAP, INPUT, WIDTH, SweepTile

RNG = np.random.default_rng(5)
SQUARE, WIDE = (RNG.integers(0, 250, shape).astype(np.uint8) for shape in ((1, 8, 8), (3, 10, 20)))


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def overlays(count: int, size: tuple[int, int] = (40, 40)) -> list[np.ndarray]:
    return [RNG.integers(0, 250, (*size, 3)).astype(np.uint8) for _ in range(count)]


def tiles(maps: list[np.ndarray]) -> list[SweepTile]:
    return [SweepTile(f"method-{n}", "8×8", pixels) for n, pixels in enumerate(maps)]


def test_tiles_stand_ten_in_a_row_below_the_picture() -> None:
    maps = overlays(23)
    drawn = page(plots.sweep(SQUARE, ["true class 3"], [("Methods", tiles(maps))], "Evidence", "Heat"))
    assert drawn.shape[1] == (2 * MARGIN + ACROSS * (WIDTH + GAP) - GAP) * SCALE
    expected = enlarge(rgb(SQUARE), INPUT * SCALE)
    top, left = HEADER * SCALE + 1, MARGIN * SCALE + 1
    np.testing.assert_array_equal(drawn[top : top + len(expected), left : left + len(expected)], expected)
    first = (HEADER + INPUT + 30 + 16) * SCALE
    for number, pixels in enumerate(maps):
        row, column = divmod(number, ACROSS)
        y, x = first + row * (WIDTH + 34) * SCALE, (MARGIN + column * (WIDTH + GAP)) * SCALE
        np.testing.assert_array_equal(drawn[y : y + 160, x : x + 160][2:-2, 2:-2], enlarge(pixels, 160)[2:-2, 2:-2])


def test_a_missing_map_says_why_on_grey() -> None:
    said, other = (
        page(plots.sweep(SQUARE, [], [("Methods", [SweepTile("cam", "not for this model", None, why)])], "t", "s"))
        for why in ("needs ReLU, not gelu", "needs average pooling and one linear layer behind")
    )
    y, x = (HEADER + INPUT + 46) * SCALE, MARGIN * SCALE
    area = said[y : y + 160, x : x + 160]
    assert (area == 244).all(axis=-1).mean() > 0.8
    assert (area < 150).any()
    changed = np.argwhere((said != other).any(axis=-1))
    assert changed.min(axis=0).tolist() > [y, x]
    assert (changed.max(axis=0) < (y + 160, x + 160)).all()  # the words stay in their tile


def test_wide_pictures_make_low_rows() -> None:
    square, wide = (
        page(plots.sweep(picture, [], [("Methods", tiles(overlays(3, size)))], "t", "s")).shape
        for picture, size in ((SQUARE, (40, 40)), (WIDE, (40, 80)))
    )
    assert square[0] - wide[0] == (40 + INPUT - 60) * SCALE
    assert square[1] == wide[1]


@pytest.mark.parametrize(("count", "rows"), [(60, 6), (61, 6), (160, 6)])
def test_of_very_many_layers_evenly_spaced_ones_are_shown(count: int, rows: int) -> None:
    one, many = (page(plots.sweep(SQUARE, [], [("Layers", tiles(overlays(n)))], "t", "s")).shape[0] for n in (1, count))
    assert many - one == (rows - 1) * (WIDTH + 34) * SCALE


def test_long_names_stay_with_their_tile() -> None:
    names = ["group2.0.sum.branch.and.more.conv1", "integrated-gradients", "x" * 90]
    plain, named = (
        page(
            plots.sweep(
                SQUARE, [], [("Methods", [SweepTile(n, "8×8", m) for n, m in zip(ns, maps, strict=True)])], "t", "s"
            )
        )
        for maps in [overlays(3)]
        for ns in (["a\N{NO-BREAK SPACE}b"] * 3, names)
    )
    assert named.shape[0] - plain.shape[0] == 10 * SCALE  # two lines
    below = named[(HEADER + INPUT + 46 + WIDTH + 2) * SCALE :]
    for column in range(3):
        gap = (MARGIN + column * (WIDTH + GAP) + WIDTH + GAP - 3) * SCALE
        assert (below[:, gap : gap + 4] == 255).all()


def test_the_same_input_gives_the_same_bytes() -> None:
    sections = [("Methods", tiles(overlays(3))), ("Layers", tiles(overlays(12)))]
    assert plots.sweep(WIDE, ["a"], sections, "t", "s") == plots.sweep(WIDE, ["a"], sections, "t", "s")

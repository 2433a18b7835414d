"""Feature maps, explanations, augmentation: tiles stand where they should, in the right colours, unblurred."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convscope.explain import overlay
from convscope.runs import plots
from convscope.runs.canvas import HEADER, MARGIN, SCALE, rgb, signed_colors

VERMILLION, HATCH = (0xC0, 0x4F, 0x00), (190, 190, 190)
RNG = np.random.default_rng(7)
DIGITS = np.rint(load_digits().images * 255 / 16).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
COLOUR = RNG.integers(0, 256, (12, 3, 33, 47)).astype(np.uint8)
OVERLAYS = [RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8) for _ in range(12)]
CAPTION = "true Speed limit (50 km/h) · predicted Speed limit (80 km/h) (61 %)"
MAPS = {
    "stem": RNG.normal(size=(16, 33, 47)),
    "a.very.long.layer.name.that.goes.on.and.on": RNG.normal(size=(2, 8, 8)),
    "pool": RNG.normal(size=(40, 1, 1)),
}

EVERY: dict[str, Callable[[], bytes]] = {
    "filters in colour": lambda: plots.filters(np.random.default_rng(0).normal(size=(64, 3, 3, 3)), "stem.conv"),
    "filters of one plane": lambda: plots.filters(np.random.default_rng(0).normal(size=(6, 1, 5, 3)), "conv1"),
    "filters of planes": lambda: plots.filters(np.random.default_rng(0).normal(size=(130, 40, 3, 3)), "a" * 200),
    "filters 1×1": lambda: plots.filters(np.zeros((2, 2, 1, 1)), "shortcut"),
    "feature maps": lambda: plots.feature_maps(
        COLOUR[0], MAPS, ["true class 3", "predicted a class with a name that is too long (61 %)"]
    ),
    "maps of one layer": lambda: plots.layer_maps(
        COLOUR[0], np.random.default_rng(0).normal(size=(64, 9, 7)), [CAPTION]
    ),
    "gallery": lambda: plots.explanation_gallery(
        COLOUR, OVERLAYS, [CAPTION] * 12, [True, False] * 6, "grad-cam at conv2, a grid of 8×8"
    ),
    "gallery of one": lambda: plots.explanation_gallery(DIGITS[:1], OVERLAYS[:1], ["3 (61 %)"], [None], "x"),
    "augmentation": lambda: plots.augmentation(COLOUR, [COLOUR[:, :, :, ::-1]] * 2),
}


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(picture: np.ndarray, color: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return (picture == np.asarray(color)).all(axis=-1)


def signed(value: float) -> np.ndarray:
    return signed_colors(np.array(value), 1)


def centre(picture: np.ndarray, color: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return np.median(np.argwhere(where(picture, color)), axis=0)


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_every_picture_is_whole_and_the_same_each_time(draw: Callable[[], bytes]) -> None:
    png = draw()
    assert png == draw()
    assert "Software" not in Image.open(io.BytesIO(png)).info
    picture = page(png)
    assert 200 < picture.shape[0] < 3000
    assert 400 < picture.shape[1] < 2400
    for edge in (picture[:16], picture[-8:], picture[:, :16], picture[:, -16:]):
        assert (edge == 255).all()
    assert (picture[40:70, 40:200] < 80).any()  # the title


def test_maps_share_one_zero_centred_scale_within_a_layer() -> None:
    values = np.stack([np.full((4, 4), level) for level in (4.0, -1.0, 2.0)])
    other = np.full((1, 4, 4), 0.01)  # small, but alone on its scale
    picture = page(plots.feature_maps(DIGITS[0], {"conv": values, "relu": other}, ["maps"]))
    below = picture[(HEADER + 120) * SCALE :]  # without the input and the key
    strong = np.argwhere(where(below, signed(1.0)))
    assert len(strong) == 2 * 96**2
    weak, middle = centre(below, signed(-0.25)), centre(below, signed(0.5))
    assert weak[0] == middle[0]  # one row
    assert middle[1] - weak[1] == 2 * 52  # neighbours
    assert strong[:, 0].max() > middle[0] + 100  # the second layer, in full colour


def test_a_silent_channel_is_hatched() -> None:
    alive = RNG.normal(size=(5, 6, 6))
    dead = alive.copy()
    dead[3] = 0
    before, after = (page(plots.feature_maps(DIGITS[0], {"relu": maps}, ["maps"])) for maps in (alive, dead))
    more = np.argwhere(where(after, HATCH) & ~where(before, HATCH))
    assert len(more) > 96 * 96 / 5
    middle = np.median(more, axis=0)
    assert middle[1] / SCALE == pytest.approx(MARGIN + 148 + 3 * 52 + 24, abs=2)  # the fourth tile
    assert (before != after).any(axis=-1)[:, : (MARGIN + 140) * SCALE].any()  # the row says how many


@pytest.mark.parametrize(("channels", "columns", "box"), [(20, 8, 72), (64, 12, 46), (200, 16, 33)])
def test_one_layer_alone_shows_all_its_channels_on_one_scale(channels: int, columns: int, box: int) -> None:
    values = RNG.uniform(-0.9, 0.9, size=(channels, 3, 3))
    values[0], values[columns + 2], values[5] = 4.0, -2.0, 0.0
    picture = page(plots.layer_maps(DIGITS[0], values, ["true class 3"]))[(HEADER + 120) * SCALE :]
    first, other = centre(picture, signed(1.0)), centre(picture, signed(-0.5))
    assert other[1] - first[1] == 2 * (box + 8) * SCALE  # the second row, the third column
    assert other[0] - first[0] == (box + 20) * SCALE
    hatched = centre(picture, HATCH)
    assert hatched[1] - first[1] == pytest.approx(5 * (box + 8) * SCALE, abs=2)
    assert hatched[0] == pytest.approx(first[0], abs=2)


def test_of_very_many_channels_the_first_are_shown() -> None:
    values = RNG.normal(size=(500, 2, 2))
    values[0, 0, 0] = 9  # the scale's end
    few, many = (page(plots.layer_maps(DIGITS[0], values[:n], [])) for n in (256, 500))
    np.testing.assert_array_equal(few[HEADER * SCALE :], many[HEADER * SCALE :])
    assert (few[: HEADER * SCALE] != many[: HEADER * SCALE]).any()  # it says so


@pytest.mark.parametrize("values", [np.zeros((10,)), np.zeros((0, 2, 2))])
def test_layer_maps_refuse_what_are_no_maps(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(C, h, w\)"):
        plots.layer_maps(DIGITS[0], values, [])


def test_the_input_is_shown_unblurred_and_grey() -> None:
    picture = page(plots.feature_maps(DIGITS[5], {"c": np.ones((1, 2, 2))}, ["maps"]))
    left, top = (MARGIN + 148) * SCALE + 1, HEADER * SCALE + 1  # inside the hairline
    np.testing.assert_array_equal(picture[top : top + 192, left : left + 192], big(DIGITS[5], 24))


def test_layers_that_differ_in_the_end_of_their_name_are_told_apart() -> None:
    maps = np.ones((1, 2, 2))
    names = [f"group1.0.sum.branch.and.more.{end}" for end in ("conv1", "norm1")] + ["x" * 60]
    one, other, unbroken = (page(plots.feature_maps(DIGITS[0], {name: maps}, ["maps"])) for name in names)
    assert (one != other)[:, : (MARGIN + 145) * SCALE].any()
    gap = slice((MARGIN + 141) * SCALE, (MARGIN + 147) * SCALE)
    assert (unbroken[(HEADER + 120) * SCALE :, gap] == 255).all()  # no name runs into the tiles


def test_of_very_many_layers_a_subset_is_shown() -> None:
    maps = {f"layer{i}": np.full((1, 2, 2), 1.0 + i) for i in range(60)}
    few, many = (page(plots.feature_maps(DIGITS[0], dict(list(maps.items())[:n]), ["maps"])).shape for n in (40, 60))
    assert few == many
    assert few[0] > 40 * 60 * SCALE


def test_non_finite_maps_are_drawn() -> None:
    maps = {"diverged": np.array([[[np.nan, np.inf], [-np.inf, 1.0]]])}
    picture = page(plots.feature_maps(DIGITS[0], maps, ["maps"]))
    assert where(picture, signed(1.0)).sum() >= 2 * 48**2


@pytest.mark.parametrize("maps", [{}, {"fc": np.zeros((10,))}, {"c": np.zeros((0, 2, 2))}])
def test_feature_maps_refuse_what_are_no_maps(maps: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"\(C, h, w\)"):
        plots.feature_maps(DIGITS[0], maps, ["maps"])


def big(picture: np.ndarray, factor: int) -> np.ndarray:
    """uint8 (C, H, W) as (H*factor, W*factor, 3), each pixel a square."""
    return np.kron(rgb(picture), np.ones((factor, factor, 1), np.uint8))


def test_the_gallery_shows_each_picture_beside_its_explanation() -> None:
    overlays = [np.kron(overlay[:8, :8], np.ones((10, 10, 1), np.uint8)) for overlay in OVERLAYS[:5]]
    picture = page(plots.explanation_gallery(DIGITS[:5], overlays, ["short"] * 5, [True] * 5, "x"))
    for index in range(4):
        left, top = (MARGIN + index * 184) * SCALE, (HEADER + 4) * SCALE
        np.testing.assert_array_equal(picture[top : top + 160, left : left + 160], big(DIGITS[index], 20))
        beside = picture[top : top + 160, left + 168 : left + 328]
        small = np.asarray(Image.fromarray(overlays[index]).resize((160, 160), Image.Resampling.NEAREST))
        np.testing.assert_array_equal(beside, small)
    assert (picture[560:700, 40:200] != 255).any()  # the fifth, in a second row


@pytest.mark.parametrize("wrong", [0, 3, 4])
def test_a_wrong_answer_is_framed_and_coloured(wrong: int) -> None:
    verdicts = np.arange(6) != wrong
    marked = where(page(plots.explanation_gallery(DIGITS[:6], OVERLAYS[:6], ["3"] * 6, verdicts, "x")), VERMILLION)
    at = np.argwhere(marked)
    assert len(at) > 2 * 4 * (160 + 320)
    column, row = wrong % 4, wrong // 4
    left = (MARGIN + column * 184) * SCALE
    assert left - 12 <= at[:, 1].min() < left
    assert left + 328 <= at[:, 1].max() < left + 340
    assert (at[:, 0].min() > 340) == (row == 1)


def test_without_mistakes_or_without_truth_nothing_is_framed() -> None:
    for verdicts in ([True] * 3, [None] * 3):
        picture = page(plots.explanation_gallery(DIGITS[:3], OVERLAYS[:3], ["3"] * 3, verdicts, "x"))
        assert not where(picture, VERMILLION).any()


def test_a_long_caption_gets_the_lines_that_it_needs() -> None:
    short, long = (
        page(plots.explanation_gallery(DIGITS[:4], OVERLAYS[:4], [text] * 4, [True] * 4, "x"))
        for text in ("3", CAPTION)
    )
    assert long.shape[0] == short.shape[0] + 2 * 13 * SCALE
    assert long.shape[1] == short.shape[1]


def test_the_heat_scale_is_what_overlays_show_and_names_its_source() -> None:
    one, other = (
        page(plots.explanation_gallery(DIGITS[:1], OVERLAYS[:1], ["3"], [None], source))
        for source in ("grad-cam at conv1, a grid of 8×8", "grad-cam at conv1, a grid of 4×4")
    )
    changed = np.argwhere((one != other).any(axis=-1))
    assert changed[:, 0].min() > one.shape[0] - 48 * SCALE  # below the pictures, and
    assert changed[:, 1].min() > (MARGIN + plots.KEY_WIDTH + 20) * SCALE  # beside the scale
    bottom, left = one.shape[0] - 48 * SCALE, MARGIN * SCALE + 1
    key = one[bottom : bottom + 22, left : left + plots.KEY_WIDTH * SCALE]
    heat = np.linspace(0, 1, plots.KEY_WIDTH * SCALE)
    for row, ground in ((4, 255), (16, 0)):
        expected = overlay(np.full((1, 1, len(heat)), ground, np.uint8), heat[None])[0]
        np.testing.assert_array_equal(key[row], expected)
    assert (key[4, 0] == 255).all()
    assert (key[16, 0] == 0).all()


def test_wide_pictures_take_no_more_height_than_they_need() -> None:
    square, wide = (
        page(plots.explanation_gallery(pictures, OVERLAYS[:1], ["3"], [True], "x"))
        for pictures in (COLOUR[:1, :, :32, :32], COLOUR[:1, :, :16, :32])
    )
    assert square.shape[0] - wide.shape[0] == 80 * SCALE


def test_the_maps_say_what_the_picture_is_and_was_taken_for() -> None:
    maps = {"conv": np.ones((1, 2, 2))}
    blank, told = (page(plots.feature_maps(DIGITS[0], maps, c)) for c in ([], ["true class 3", "predicted 8 (61 %)"]))
    ink = np.argwhere((blank != told).any(axis=-1))
    assert ink[:, 1].max() < (MARGIN + 148) * SCALE  # beside the picture
    assert HEADER * SCALE < ink[:, 0].min() < ink[:, 0].max() < (HEADER + 96) * SCALE


def test_the_gallery_refuses_lists_of_unequal_length() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3, 2, 2\]"):
        plots.explanation_gallery(DIGITS[:2], OVERLAYS[:3], ["a", "b"], [True, True], "x")
    with pytest.raises(ValueError, match="at least one"):
        plots.explanation_gallery(DIGITS[:0], [], [], [], "x")


def test_augmented_pictures_stand_below_their_original() -> None:
    pictures = COLOUR[:4, :, :16, :32]
    picture = page(plots.augmentation(pictures, [pictures[:, :, :, ::-1], pictures[:, :, ::-1]]))
    mirrored, flipped = pictures[2, :, :, ::-1], pictures[2, :, ::-1]
    left = (MARGIN + 64 + 2 * 72) * SCALE
    for row, expected in enumerate((pictures[2], mirrored, flipped)):
        top = (HEADER + row * 40 + 8 * (row > 0)) * SCALE  # half as high as wide
        np.testing.assert_array_equal(picture[top : top + 64, left : left + 128], big(expected, 4))


def test_augmentation_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1, 8, 8\)"):
        plots.augmentation(DIGITS[:3], [DIGITS[:2]])


def test_only_the_row_that_needs_it_is_higher() -> None:
    """Of two rows the second has a caption of three lines: the first stands as close to it as without."""
    captions = ["3"] * 4 + [CAPTION] * 2
    short, long = (
        page(plots.explanation_gallery(DIGITS[:6], OVERLAYS[:6], c, [True] * 6, "x")) for c in (["3"] * 6, captions)
    )
    second = (HEADER + 4 + 80 + 28 + 13) * SCALE
    np.testing.assert_array_equal(short[: second + 80 * SCALE], long[: second + 80 * SCALE])
    assert long.shape[0] == short.shape[0] + 2 * 13 * SCALE

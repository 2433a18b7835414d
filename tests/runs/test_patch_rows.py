"""Patches: the part of the picture that the box names, unblurred, beside the picture with that part framed."""

import io

import numpy as np
import pytest
from PIL import Image

from convscope.runs import plots
from convscope.runs.canvas import HEADER, MARGIN, SCALE, rgb
from convscope.runs.patch_rows import PatchRow, PatchTile, outlined

VERMILLION = (0xC0, 0x4F, 0x00)
RNG = np.random.default_rng(11)
PICTURE = RNG.integers(0, 250, (3, 16, 16)).astype(np.uint8)
GREY = RNG.integers(0, 250, (1, 8, 12)).astype(np.uint8)


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def tile(box: tuple[int, int, int, int], caption: str = "4.2  ship") -> PatchTile:
    return PatchTile(PICTURE, box, caption)


def test_the_box_is_framed_in_the_picture_and_what_is_outside_is_pale() -> None:
    drawn = outlined(PICTURE, (2, 4, 7, 13), 160).astype(int)  # ten pixels for each of the picture's
    frame = np.argwhere((drawn == VERMILLION).all(axis=-1))
    assert frame.min(axis=0).tolist() == [20, 40]
    assert frame.max(axis=0).tolist() == [69, 129]
    whole = np.kron(rgb(PICTURE), np.ones((10, 10, 1), np.uint8)).astype(int)
    np.testing.assert_array_equal(drawn[22:68, 42:128], whole[22:68, 42:128])
    outside = np.ones(drawn.shape[:2], bool)
    outside[20:70, 40:130] = False
    np.testing.assert_allclose(drawn[outside], 255 - 0.45 * (255 - whole[outside]), atol=0.5)


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (15, 15, 16, 16), (3, 0, 4, 16)])
def test_a_box_too_small_for_a_frame_is_filled(box: tuple[int, int, int, int]) -> None:
    drawn = outlined(PICTURE, box, 80)
    marked = (drawn == VERMILLION).all(axis=-1)
    assert marked.sum() == (box[2] - box[0]) * (box[3] - box[1]) * 25


def test_parts_are_drawn_on_one_scale_beside_their_pictures() -> None:
    rows = [
        PatchRow("channel 3", ["ship 2"], [tile((0, 0, 6, 6)), tile((2, 3, 5, 9))]),
        PatchRow("channel 7", ["cat 1"], [tile((10, 4, 16, 10))]),
    ]
    drawn = page(plots.patch_rows(rows, "What excites conv", "2 of 8 channels"))
    box, cell, left = 48 * SCALE, (2 * 48 + 4 + 14) * SCALE, (MARGIN + 148) * SCALE
    factor = box // 6  # the longest part fills its tile
    places = {(0, 0): (0, 0, 6, 6), (0, 1): (2, 3, 5, 9), (1, 0): (10, 4, 16, 10)}
    for (row, column), (top, first, bottom, right) in places.items():
        part = np.kron(rgb(PICTURE)[top:bottom, first:right], np.ones((factor, factor, 1), np.uint8))
        height, width = part.shape[:2]
        y = HEADER * SCALE + row * 78 * SCALE + (box - height) // 2
        x = left + column * cell + 1  # inside the hairline
        np.testing.assert_array_equal(drawn[y : y + height, x : x + width], part)
        beside = left + column * cell + box + 4 * SCALE
        y = HEADER * SCALE + row * 78 * SCALE
        found = drawn[y : y + box, beside : beside + box]
        expected = outlined(PICTURE, (top, first, bottom, right), box).astype(int)
        assert np.abs(found - expected).mean() < 1
    assert (drawn[:, : MARGIN * SCALE] == 255).all()
    assert (drawn[:, 4 - MARGIN * SCALE :] == 255).all()  # but for hairlines


def test_where_all_see_everything_the_picture_stands_alone_and_unmarked() -> None:
    whole = PatchTile(PICTURE, (0, 0, 16, 16), "1.0  cat")
    for drawn in (
        page(plots.patch_rows([PatchRow("unit 1", [], [whole, whole])], "What excites head", "all")),
        page(plots.channel_patches([whole] * 5, "What excites unit 1", "all")),
    ):
        assert not (drawn == VERMILLION).all(axis=-1).any()
    mixed = page(plots.channel_patches([whole, tile((0, 0, 4, 4))], "x", "y"))
    assert (mixed == VERMILLION).all(axis=-1).any()


def test_parts_of_large_pictures_keep_to_their_tiles() -> None:
    large = RNG.integers(0, 250, (3, 300, 300)).astype(np.uint8)
    for box in ((0, 0, 250, 250), (10, 20, 120, 40), (0, 0, 299, 300)):
        drawn = page(
            plots.channel_patches([PatchTile(large, box, "1"), PatchTile(large, (0, 0, 90, 90), "")], "t", "s")
        )
        gap = drawn[HEADER * SCALE : (HEADER + 80) * SCALE, (MARGIN + 80) * SCALE + 2 : (MARGIN + 84) * SCALE - 1]
        assert (gap == 255).all()
        part = drawn[HEADER * SCALE : (HEADER + 80) * SCALE, MARGIN * SCALE : (MARGIN + 80) * SCALE]
        filled = (part != 255).any(axis=-1)
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        np.testing.assert_allclose(
            [filled.any(axis=1).mean(), filled.any(axis=0).mean()], sides / sides.max(), atol=0.03
        )


def test_four_patches_of_one_channel_stand_in_a_row() -> None:
    tiles = [PatchTile(GREY, (0, 0, 4, 5), f"{n}") for n in range(6)]
    four, six = (page(plots.channel_patches(tiles[:n], "What excites channel 0 of conv most", "x")) for n in (4, 6))
    assert six.shape[0] - four.shape[0] == 116 * SCALE
    assert six.shape[1] == four.shape[1]


def test_a_dead_channel_is_a_page_that_says_so() -> None:
    dead = page(plots.channel_patches([], "What excites channel 5 of stem.conv", "Nothing: it is dead."))
    assert dead.shape[0] == (HEADER + MARGIN) * SCALE
    assert (dead[42 * SCALE : 58 * SCALE] < 150).any()
    assert (dead[HEADER * SCALE :] == 255).all()


def test_the_footer_names_dead_channels() -> None:
    rows = [PatchRow("channel 3", ["ship 2"], [tile((0, 0, 6, 6))] * 6)]
    plain, told, long = (
        page(plots.patch_rows(rows, "t", "s", text)) for text in ("", "2 are dead: 4, 9.", "dead " * 90)
    )
    assert told.shape[0] - plain.shape[0] == 13 * SCALE
    assert long.shape[0] - plain.shape[0] == 26 * SCALE
    assert long.shape[1] == plain.shape[1]
    assert (told[plain.shape[0] - MARGIN * SCALE :] < 120).any()


def test_a_part_that_sees_nothing_is_hatched() -> None:
    drawn = page(plots.channel_patches([tile((0, 0, 0, 0)), tile((1, 1, 9, 9))], "t", "s"))
    assert (drawn == 190).all(axis=-1).sum() > 2000


def test_the_same_input_gives_the_same_bytes() -> None:
    rows = [PatchRow("channel 3", ["ship 2, airplane with a long name 1"], [tile((0, 0, 6, 6), "x" * 60)] * 6)]
    assert plots.patch_rows(rows, "t", "s" * 120) == plots.patch_rows(rows, "t", "s" * 120)

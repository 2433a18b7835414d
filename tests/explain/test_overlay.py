"""Overlays: where they show the picture, where the heat, how large, and what an empty map looks like."""

import numpy as np
import pytest

from convscope.errors import UsageError
from convscope.explain import colorize, display_size, overlay


@pytest.fixture(name="picture")
def _picture():
    return np.random.default_rng(0).integers(0, 256, (3, 20, 33), dtype=np.uint8)


def enlarged(picture, factor):
    """(C, H, W) bytes as (H', W', 3), each pixel a square."""
    rgb = np.broadcast_to(picture.transpose(1, 2, 0), (*picture.shape[1:], 3))
    return np.kron(rgb, np.ones((factor, factor, 1), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((8, 8), (256, 256)), ((33, 20), (264, 160)), ((28, 28), (280, 280)), ((300, 200), (300, 200))],
)
def test_small_pictures_are_enlarged_by_a_whole_factor(size, drawn):
    heat = np.random.default_rng(1).random(size)
    assert display_size(*size) == drawn
    result = overlay(np.zeros((1, *size), dtype=np.uint8), heat)
    assert result.shape == (*drawn, 3)
    assert result.dtype == np.uint8


def test_opacity_grows_with_the_heat_and_cold_places_show_the_picture(picture):
    heat = np.zeros((20, 33), dtype=np.float32)
    heat[4, 5], heat[10, 20] = 1, 0.5
    result = overlay(picture, heat, alpha=0.8).astype(float)
    clear = enlarged(picture, 8).astype(float)
    hot = np.kron(heat, np.ones((8, 8))) > 0
    np.testing.assert_array_equal(result[~hot], clear[~hot])
    for (row, column), value in {(4, 5): 1, (10, 20): 0.5}.items():
        pixel = picture[:, row, column]
        expected = pixel * (1 - 0.8 * value) + colorize(np.array(value)) * 0.8 * value
        found = result[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert np.abs(found - expected).max() <= 0.5


def test_alpha_zero_is_the_picture_and_one_covers_the_hottest(picture):
    heat = np.random.default_rng(2).random((20, 33))
    heat[7, 7] = 1
    np.testing.assert_array_equal(overlay(picture, heat, alpha=0), enlarged(picture, 8))
    covered = overlay(picture, heat, alpha=1)
    np.testing.assert_array_equal(covered[60, 60], colorize(np.array(1.0)))


def test_grey_pictures_become_colour():
    picture = np.random.default_rng(3).integers(0, 256, (1, 16, 16), dtype=np.uint8)
    heat = np.zeros((16, 16))
    heat[0, 0] = 1
    result = overlay(picture, heat)
    np.testing.assert_array_equal(result[16:], enlarged(picture, 16)[16:])


def test_a_heatmap_of_a_whole_multiple_is_drawn_at_its_own_resolution(picture):
    heat = np.random.default_rng(4).random((60, 99))  # three times the picture
    result = overlay(picture, heat, alpha=1)
    assert result.shape == (180, 297, 3)
    base, colour = enlarged(picture, 9).astype(float), colorize(np.kron(heat, np.ones((3, 3))))
    opacity = np.kron(heat, np.ones((3, 3)))[..., None]
    assert np.abs(result - (base * (1 - opacity) + colour * opacity)).max() <= 0.5


def test_an_empty_map_is_the_picture_in_a_striped_grey_frame(picture):
    result = overlay(picture, np.zeros((20, 33), dtype=np.float32))
    clear = enlarged(picture, 8)
    border = 8
    np.testing.assert_array_equal(result[border:-border, border:-border], clear[border:-border, border:-border])
    frame = np.concatenate([result[:border].reshape(-1, 3), result[:, -border:].reshape(-1, 3)])
    assert set(map(tuple, frame.tolist())) == {(90, 90, 90), (200, 200, 200)}
    assert 0.4 < (frame[:, 0] == 90).mean() < 0.6


def test_inputs_are_left_alone(picture):
    heat = np.random.default_rng(5).random((20, 33))
    before = picture.copy(), heat.copy()
    overlay(picture, heat)
    np.testing.assert_array_equal(picture, before[0])
    np.testing.assert_array_equal(heat, before[1])


@pytest.mark.parametrize(
    ("shape", "dtype", "heat", "words"),
    [
        ((3, 8, 8), np.float32, (8, 8), "a picture is uint8 .* got float32"),
        ((8, 8, 3), np.uint8, (8, 8), r"got uint8 \(8, 8, 3\)"),
        ((3, 8, 8), np.uint8, (4, 4), r"picture 8×8 .* got \(4, 4\)"),
        ((3, 8, 8), np.uint8, (16, 24), r"got \(16, 24\)"),
        ((3, 8, 8), np.uint8, (1, 8, 8), r"got \(1, 8, 8\)"),
    ],
)
def test_shapes_that_do_not_fit(shape, dtype, heat, words):
    with pytest.raises(UsageError, match=words):
        overlay(np.zeros(shape, dtype=dtype), np.zeros(heat))


@pytest.mark.parametrize(("value", "alpha"), [(1.5, 0.5), (-0.1, 0.5), (float("nan"), 0.5), (1.0, 1.5)])
def test_values_outside_zero_to_one(picture, value, alpha):
    with pytest.raises(UsageError, match=r"lie in \[0, 1\]"):
        overlay(picture, np.full((20, 33), value), alpha)

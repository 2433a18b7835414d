"""The six views, pixel by pixel on two pictures written by hand, and by their symmetries on random ones."""

import numpy as np

from convscope.tta import WEIGHTS, six_views

PICTURES = np.array([[[[1, 2, 3], [4, 5, 6]]], [[[10, 20, 30], [70, 80, 90]]]], np.uint8)  # (2, 1, 2, 3)
VIEWS = [
    ([[1, 2, 3], [4, 5, 6]], [[10, 20, 30], [70, 80, 90]]),
    ([[3, 2, 1], [6, 5, 4]], [[30, 20, 10], [90, 80, 70]]),
    ([[5, 4, 5], [2, 1, 2]], [[80, 70, 80], [20, 10, 20]]),  # from a pixel up and left
    ([[5, 4, 5], [2, 1, 2]], [[80, 70, 80], [20, 10, 20]]),  # three columns reflected so are their own mirror image
    ([[5, 6, 5], [2, 3, 2]], [[80, 90, 80], [20, 30, 20]]),  # from a pixel down and right
    ([[5, 6, 5], [2, 3, 2]], [[80, 90, 80], [20, 30, 20]]),
]


def test_each_pixel_of_each_view() -> None:
    before = PICTURES.copy()
    found = list(six_views(PICTURES))
    assert [view.dtype for view in found] == [np.uint8] * 6
    assert [view[:, 0].tolist() for view in found] == [list(pair) for pair in VIEWS]
    assert np.array_equal(before, PICTURES)


def test_the_first_is_the_picture_and_its_weight_the_largest() -> None:
    assert next(six_views(PICTURES)) is PICTURES
    assert WEIGHTS == (0.25, 0.25, 0.125, 0.125, 0.125, 0.125)
    assert sum(WEIGHTS) == 1


def test_shifted_views_show_the_same_pixels_a_place_further_and_then_their_own_mirror_image() -> None:
    images = np.random.default_rng(5).integers(0, 256, (3, 3, 5, 7)).astype(np.uint8)
    plain, mirror, up_left, mirrored_up_left, down_right, mirrored_down_right = six_views(images)
    assert np.array_equal(up_left[..., 1:, 1:], plain[..., :-1, :-1])
    assert np.array_equal(up_left[..., 0, 1:], plain[..., 1, :-1])  # reflected: the edge is not repeated
    assert np.array_equal(up_left[..., 1:, 0], plain[..., :-1, 1])
    assert np.array_equal(down_right[..., :-1, :-1], plain[..., 1:, 1:])
    assert np.array_equal(down_right[..., -1, :-1], plain[..., -2, 1:])
    for view, image in ((plain, mirror), (up_left, mirrored_up_left), (down_right, mirrored_down_right)):
        assert np.array_equal(image, view[..., ::-1])
        assert not np.array_equal(image, view)

"""Kernels: each tile stands where it should, in colour and signed, all on one scale."""

import io

import numpy as np
import pytest
from PIL import Image

from convscope.runs import plots
from convscope.runs.canvas import HEADER, SCALE, signed_colors

RNG = np.random.default_rng(7)


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(picture: np.ndarray, color: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return (picture == np.asarray(color)).all(axis=-1)


def signed(value: float) -> np.ndarray:
    return signed_colors(np.array(value), 1)


def centre(picture: np.ndarray, color: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return np.median(np.argwhere(where(picture, color)), axis=0)


def test_colour_filters_show_the_colour_of_the_kernel_on_one_scale() -> None:
    kernels = np.zeros((4, 3, 3, 3))
    kernels[1, 0] = 2.0
    kernels[2, 2] = -2.0
    kernels[3, 1] = 1.0
    picture = page(plots.filters(kernels, "conv1"))
    tiles = [(128, 128, 128), (255, 128, 128), (128, 128, 0), (128, 191, 128)]
    places = [centre(picture, color) for color in tiles]
    assert all(where(picture, color).sum() == 72**2 for color in tiles)
    np.testing.assert_allclose([place[0] for place in places], places[0][0])
    across = np.diff([place[1] for place in places])
    np.testing.assert_allclose(across, across[0])


def test_beside_a_colour_kernel_stand_its_planes_on_the_same_scale() -> None:
    kernels = np.zeros((5, 3, 3, 3))
    kernels[1, 0], kernels[1, 1], kernels[1, 2] = 2.0, -1.0, 0.5
    picture = page(plots.filters(kernels, "conv1"))[: -52 * SCALE]  # without the key
    places = [centre(picture, (255, 64, 159))]
    for value in (1.0, -0.5, 0.25):
        assert where(picture, signed(value)).sum() == 72**2
        places.append(centre(picture, signed(value)))
    np.testing.assert_allclose([place[0] for place in places], places[0][0])
    np.testing.assert_allclose(np.diff([place[1] for place in places]), 39 * SCALE)  # 36 points and a gap of 3
    fifth = np.argwhere(where(picture, (128, 128, 128)))[:, 0].max()
    assert fifth > places[0][0] + 42 * SCALE  # four filters a row


def test_a_colour_kernel_keeps_its_orientation() -> None:
    kernels = np.zeros((1, 3, 3, 5))
    kernels[0, 0, 0, 4] = 1.0  # red in the upper right corner
    picture = page(plots.filters(kernels, "conv1"))[: -52 * SCALE]
    corner, whole = centre(picture, (255, 128, 128)), centre(picture, (128, 128, 128))
    assert corner[0] < whole[0] - 10
    assert corner[1] > whole[1] + 10
    plane = centre(picture, signed(1.0))
    assert plane[0] == corner[0]
    assert plane[1] - corner[1] == 39 * SCALE


def test_single_plane_filters_are_signed_around_zero() -> None:
    kernels = np.zeros((2, 1, 2, 2))
    kernels[0, 0, 0], kernels[0, 0, 1], kernels[1] = 1.0, -0.5, 0.25
    picture = page(plots.filters(kernels, "conv1"))[: -58 * SCALE]  # without the key
    top, bottom, other = (centre(picture, signed(value)) for value in (1.0, -0.5, 0.25))
    assert top[0] < bottom[0]
    assert top[1] == bottom[1] < other[1]
    assert where(picture, signed(0.25)).sum() > 100**2


def test_planes_stand_in_the_row_of_their_filter_and_the_column_of_their_input() -> None:
    kernels = np.zeros((5, 6, 3, 3))
    kernels[0, 0], kernels[3, 4], kernels[4, 1] = 1.0, -1.0, 0.5
    picture = page(plots.filters(kernels, "conv2"))[: -58 * SCALE]  # without the key
    first, second, third = (centre(picture, signed(value)) for value in (1.0, -1.0, 0.5))
    pitch = (second - first) / (3, 4)
    assert pitch[0] == pitch[1] > 40
    np.testing.assert_allclose(third - first, pitch * (4, 1))


def test_only_the_title_differs_where_filters_are_left_out() -> None:
    kernels = RNG.uniform(-1, 1, size=(128, 3, 3, 3))
    kernels[0, 0, 0, 0] = 1.5
    cut, whole = page(plots.filters(kernels, "c")), page(plots.filters(kernels[:64], "c"))
    np.testing.assert_array_equal(cut[HEADER * SCALE - 4 :], whole[HEADER * SCALE - 4 :])
    assert (cut[:80] != whole[:80]).any()


@pytest.mark.parametrize("shape", [(4, 3, 3), (0, 3, 3, 3), (2, 3, 0, 3)])
def test_filters_refuse_what_are_no_kernels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(O, I, KH, KW\), got"):
        plots.filters(np.zeros(shape), "c")

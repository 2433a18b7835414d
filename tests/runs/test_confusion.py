"""The confusion matrix: each cell stands in its row and column, in the colour that its share of the row asks for."""

import io

import numpy as np
import pytest
from PIL import Image

from convscope.runs.canvas import signed_colors
from convscope.runs.confusion import confusion

FULL_BLUE = tuple(signed_colors(np.array(-1.0), 1))


def page(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def where(picture: np.ndarray, color: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return (picture == np.asarray(color)).all(axis=-1)


def random_matrix(k: int, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.multinomial(n, 0.7 * np.eye(k)[row] + 0.3 / k) for row in range(k)])


def test_cells_stand_in_their_place_in_the_colour_of_their_share() -> None:
    matrix = np.array([[80, 20, 0], [5, 60, 35], [50, 0, 50]]) * np.array([[1], [3], [7]])  # rows of unequal size
    picture = page(confusion(matrix, ("cat", "dog", "frog")))
    centres = {}
    for (row, column), count in np.ndenumerate(matrix):
        share = count / matrix[row].sum()
        if share and not (row == 2 and column == 2):  # both 50 % cells of row 2 are looked at below
            sign = -1 if row == column else 1
            at = np.argwhere(where(picture, signed_colors(np.array(sign * np.sqrt(share)), 1)))
            assert len(at) > 5000, f"no cell for {row, column}"
            centres[row, column] = np.median(at, axis=0)
    right, down = centres[0, 1] - centres[0, 0], centres[1, 1] - centres[0, 1]
    assert abs(right[0]) <= 1
    assert abs(down[1]) <= 1
    assert right[1] == pytest.approx(down[0], abs=1)
    for (row, column), centre in centres.items():
        np.testing.assert_allclose(centre, centres[0, 0] + row * down + column * right, atol=2)


def test_right_answers_are_blue_mistakes_red_and_more_is_darker() -> None:
    picture = page(confusion(np.array([[50, 50], [10, 90]]), ("a", "b")))
    colors = {}
    for name, value in {"right 50": -0.5, "wrong 50": 0.5, "wrong 10": 0.1, "right 90": -0.9}.items():
        color = signed_colors(np.array(np.sign(value) * np.sqrt(abs(value))), 1)
        assert where(picture, color).sum() > 5000
        colors[name] = color.astype(int)
    assert colors["right 50"][2] > colors["right 50"][0]
    assert colors["wrong 50"][0] > colors["wrong 50"][2]
    assert colors["right 90"].sum() < colors["right 50"].sum()
    assert colors["wrong 50"].sum() < colors["wrong 10"].sum() < 3 * 250


@pytest.mark.parametrize(("k", "written"), [(20, True), (21, False)])
def test_counts_are_written_up_to_twenty_classes(k: int, written: bool) -> None:
    matrix = np.diag(np.full(k, 22))
    one, other = (page(confusion(m, [f"{i:02}" for i in range(k)])) for m in (matrix, 4 * matrix))
    assert one.shape == other.shape
    assert ((one[150:] != other[150:]).any()) == written  # below the header the shares are the same


@pytest.mark.parametrize("seed", [0, 1])
def test_names_of_a_hundred_classes_do_not_touch(seed: int) -> None:
    names = [f"Ag{i:03}jp" for i in range(100)]  # tall letters and letters below the line
    picture = page(confusion(np.diag(np.random.default_rng(seed).integers(1, 900, 100)), names))
    blue = np.argwhere(where(picture, FULL_BLUE))
    top, left = blue.min(axis=0)
    blue = blue[blue[:, 0] < top + 100 * 20]
    labels = picture[top : top + 2000, left - 70 : left - 8]
    ink = np.concatenate([[False], (labels.min(axis=-1) < 160).any(axis=1)]).astype(int)
    assert (np.diff(ink) == 1).sum() == 100
    upright = picture[top - 70 : top - 8, left : left + 2000]
    ink = np.concatenate([[False], (upright.min(axis=-1) < 160).any(axis=0)]).astype(int)
    assert (np.diff(ink) == 1).sum() == 100


@pytest.mark.parametrize(
    ("k", "names"),
    [
        (1, "x"),
        (2, "a class name that is far too long to stand anywhere in full"),
        (10, "automobile"),
        (20, "class"),
        (50, "<b>$x$"),
        (400, "n"),
    ],
)
def test_nothing_reaches_the_edge(k: int, names: str) -> None:
    png = confusion(random_matrix(k, 5000, seed=k), [f"{names} {i}" for i in range(k)])
    picture = page(png)
    for edge in (picture[:16], picture[-16:], picture[:, :16], picture[:, -16:]):
        assert (edge == 255).all()
    assert max(picture.shape) < 3600
    assert png == confusion(random_matrix(k, 5000, seed=k), [f"{names} {i}" for i in range(k)])


def test_a_class_without_pictures_stays_empty() -> None:
    picture = page(confusion(np.array([[4, 0], [0, 0]]), ("seen", "never")))
    assert where(picture, signed_colors(np.array(0.0), 1)).sum() > 3 * 100 * 100


@pytest.mark.parametrize("shape", [(3, 2), (2, 2), (3,), (0, 0)])
def test_a_matrix_that_does_not_fit_the_names_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="class names, got"):
        confusion(np.ones(shape, int), ("a", "b", "c") if shape != (0, 0) else ())

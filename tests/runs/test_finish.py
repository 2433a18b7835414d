"""What is chosen for the gallery, drawn in it, and listed as the network's layers."""

import io

import numpy as np
import pytest
from PIL import Image

from convscope.data import load
from convscope.explain import display_size, explain, overlay
from convscope.models.base import layer_shapes
from convscope.runs import Run
from convscope.runs.canvas import HEADER, MARGIN, SCALE, enlarge
from convscope.runs.finish import GALLERY, choice_text, draw_explanations, gallery_choice, layer_rows, learning_rates


def answers(predictions: list[int], confidences: list[float], classes: int) -> np.ndarray:
    """Probabilities, (N, classes), with these answers and confidences; the rest is spread evenly."""
    rows = np.repeat((1 - np.array(confidences))[:, None] / (classes - 1), classes, axis=1)
    rows[np.arange(len(rows)), predictions] = confidences
    return rows


def test_first_right_answer_of_each_class_then_the_most_confident_mistakes() -> None:
    labels = np.array([2, 0, 2, 1, 0, 1, 0, 2, 1, 0, 2, 2])
    predictions = [0, 0, 2, 0, 0, 1, 1, 2, 2, 2, 1, 0]
    confidences = [0.6, 0.5, 0.8, 0.9, 0.99, 0.7, 0.5, 0.99, 0.8, 0.4, 0.6, 0.7]
    # right: 1 and 4 of class 0, 5 of class 1, 2 and 7 of class 2; wrong: 3 (0.9), 8 (0.8), 11 (0.7), 0 (0.6) …
    chosen = gallery_choice(labels, answers(predictions, confidences, 3))
    assert chosen.tolist() == [1, 5, 2, 3, 8, 11, 0]


def test_mistakes_keep_a_third_of_the_gallery_where_classes_are_many() -> None:
    labels = np.arange(40) % 20
    predictions = [*range(20), *((k + 1) % 20 for k in range(20))]
    chosen = gallery_choice(labels, answers(predictions, [0.5] * 20 + [0.9 - k / 100 for k in range(20)], 20))
    assert chosen.tolist() == [*range(8), 20, 21, 22, 23]
    assert len(chosen) == GALLERY


def test_without_mistakes_or_without_right_answers() -> None:
    labels = np.array([1, 1, 0])
    assert gallery_choice(labels, answers([1, 1, 0], [0.9] * 3, 2)).tolist() == [2, 0]
    assert gallery_choice(labels, answers([0, 0, 1], [0.7, 0.9, 0.8], 2)).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("right", "wrong", "text"),
    [
        (3, 2, "Shown: the first right answer of each class, then the most confident mistakes (framed, ✗)."),
        (2, 4, "Shown: the first right answer of 2 of 3 classes, then the most confident mistakes (framed, ✗)."),
        (3, 0, "Shown: the first right answer of each class."),
        (0, 4, "Shown: the most confident mistakes (framed, ✗)."),
    ],
)
def test_the_gallery_says_how_it_was_chosen(right: int, wrong: int, text: str) -> None:
    assert choice_text([True] * right + [False] * wrong, 3) == text


def test_the_layers_are_listed_as_they_run_and_their_parameters_are_all_there(digits_run: Run) -> None:
    rows = layer_rows(digits_run)
    assert sum(row.parameters for row in rows) == digits_run.parameters
    assert [(row.name, tuple(row.output_shape)) for row in rows] == layer_shapes(digits_run.model, (1, 8, 8))
    named = {row.name: row for row in rows}
    assert (named["stem.conv"].type, named["stem.conv"].parameters) == ("Conv2D", 8 * 9)  # of our own layers
    assert (named["stem.norm"].type, named["stem.norm"].parameters) == ("BatchNorm2d", 16)
    assert (named["head"].type, named["head"].parameters) == ("Linear", 16 * 10 + 10)
    assert (named["stem.conv"].multiply_adds, named["stem.norm"].multiply_adds) == (8 * 8 * 8 * 9, 0)
    assert named["group2.0.sum.shortcut.conv"].multiply_adds == 16 * 4 * 4 * 8
    assert named["head"].multiply_adds == 16 * 10


def test_the_gallery_shows_each_picture_with_its_own_map_the_right_way_round(digits_run: Run) -> None:
    _, test = load("digits")
    images, labels = test.images[:4], test.labels[:4]
    with Image.open(io.BytesIO(draw_explanations(digits_run, images, labels))) as png:
        page = np.asarray(png.convert("RGB"))
    box = 80
    maps = explain(digits_run.model, digits_run.preprocess(images)).heatmaps(display_size(8, 8))
    for index in range(4):
        left = MARGIN + index * (2 * box + 4 + 20)
        for x, expected in (
            (left, images[index].transpose(1, 2, 0).repeat(3, axis=2)),
            (left + box + 4, overlay(images[index], maps[index])),
        ):
            expected = enlarge(expected, box * SCALE)
            top, start = (HEADER + 4) * SCALE, x * SCALE
            found = page[top : top + box * SCALE, start : start + box * SCALE].astype(int)
            # a hairline runs around it
            assert np.abs(found - expected)[3:-3, 3:-3].mean() == pytest.approx(0, abs=3)
            assert np.abs(found - expected.transpose(1, 0, 2))[3:-3, 3:-3].mean() > 10


def test_the_learning_rates_are_those_that_training_used(digits_run: Run) -> None:
    rates, rows = learning_rates(digits_run), digits_run.metrics
    assert len(rates) == rows[-1]["step"] > 30
    assert [rates[int(row["step"] or 0) - 1] for row in rows] == [row["lr"] for row in rows]
    steps = len(rates) // 3  # the recipe warms up for the first of the three epochs
    np.testing.assert_allclose(rates[:steps], 0.1 * np.arange(1, steps + 1) / steps)

"""The evaluation's numbers, against counting by hand."""

import numpy as np

from convscope.evaluate import Evaluation, summary
from convscope.runs import Run
from convscope.runs.artifacts import METRICS, write_csv

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 200)
PROBABILITIES = RNG.dirichlet(np.ones(4), 200)
EVALUATION = Evaluation(PROBABILITIES, LABELS, ("ant", "bee", "cat", "dog"))


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    by_hand = np.zeros((4, 4), int)
    for true, row in zip(LABELS, PROBABILITIES, strict=True):
        by_hand[true, int(np.argmax(row))] += 1
    assert EVALUATION.confusion.tolist() == by_hand.tolist()
    assert EVALUATION.accuracy == np.trace(by_hand) / 200


def test_most_confused_pairs_are_the_largest_off_the_diagonal() -> None:
    pairs = EVALUATION.most_confused(3)
    counts = {
        (t, p): EVALUATION.confusion[i, j]
        for i, t in enumerate(EVALUATION.classes)
        for j, p in enumerate(EVALUATION.classes)
        if i != j
    }
    assert [count for _, _, count in pairs] == sorted(counts.values(), reverse=True)[:3]
    assert all(counts[true, predicted] == count for true, predicted, count in pairs)


def test_a_perfect_network_confuses_nothing() -> None:
    perfect = Evaluation(np.eye(4)[LABELS], LABELS, EVALUATION.classes)
    assert perfect.accuracy == 1
    assert perfect.most_confused() == []


def test_images_a_second_are_all_pictures_over_all_seconds(copied_run: Run) -> None:
    """One epoch of 1 s at 100 images/s and one of 3 s at 200: 700 pictures in 4 s, not the mean of the rates."""
    rows = copied_run.metrics[:2]
    rates = [{"seconds": 1.0, "images_per_second": 100.0}, {"seconds": 3.0, "images_per_second": 200.0}]
    write_csv(copied_run.path / METRICS, [row | rate for row, rate in zip(rows, rates, strict=True)])
    found = summary(copied_run, EVALUATION)
    assert (found["epochs"], found["train_seconds"], found["images_per_second"]) == (2, 4.0, 175.0)
    assert found["test_accuracy"] == EVALUATION.accuracy
    assert found["val_accuracy"] == copied_run.checkpoint["best_val_accuracy"]

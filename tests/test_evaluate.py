"""The evaluation's numbers, against counting by hand."""

import numpy as np

from convscope.evaluate import Evaluation

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

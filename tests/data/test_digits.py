"""The embedded digits: all of scikit-learn's, spread over the bytes, split the same way for every run."""

import numpy as np
from sklearn import datasets

from convscope.data import load


def test_all_pictures_are_there_once() -> None:
    train, test = load("digits")
    assert train.images.shape == (1437, 1, 8, 8)
    assert test.images.shape == (360, 1, 8, 8)
    raw = datasets.load_digits()
    levels = np.concatenate([train.images, test.images])[:, 0] / 255 * 16
    found = np.concatenate([levels.reshape(1797, 64), np.concatenate([train.labels, test.labels])[:, None]], axis=1)
    expected = np.concatenate([raw.data, raw.target[:, None]], axis=1)
    assert sorted(map(tuple, np.round(found))) == sorted(map(tuple, expected))


def test_the_levels_reach_from_black_to_white() -> None:
    train, _ = load("digits")
    assert np.unique(train.images).tolist() == [round(level * 255 / 16) for level in range(17)]


def test_the_test_set_is_balanced_and_always_the_same() -> None:
    (train, test), (again, test_again) = load("digits"), load("digits")
    assert np.bincount(test.labels).tolist() == [36] * 10
    assert np.array_equal(test.images, test_again.images)
    assert np.array_equal(train.labels, again.labels)
    assert test.classes == tuple("0123456789")
    assert train.images[0, 0, 0, 2] == round(5 * 255 / 16)  # the first digit of all, a zero, is for training

"""The same recipe on permuted labels: the classes stay as frequent, the network learns nothing about new pictures."""

import numpy as np
import torch

from convscope.audit.audit import state_of
from convscope.audit.maps import explain_all
from convscope.audit.random_labels import permuted, train_on_random_labels
from convscope.data import load


def test_permuted_labels():
    train, _ = load("digits")
    other = permuted(train)
    np.testing.assert_array_equal(np.bincount(other.labels), np.bincount(train.labels))
    assert (other.labels == train.labels).mean() < 0.15
    np.testing.assert_array_equal(other.images, train.images)


def test_maps_of_a_network_that_learned_noise(digits_run, digits_subject):
    before = state_of(digits_run.model)
    maps, _ = explain_all(digits_subject, ["grad-cam", "saliency"])
    found = train_on_random_labels(digits_run, digits_subject, list(maps.values()))
    assert found.epochs == 3
    assert 0.05 < found.chance < 0.15
    assert 0.05 < found.learned < 0.5  # with the true labels it knows nearly all
    assert [row.method for row in found.methods] == ["grad-cam", "saliency"]
    for row in found.methods:
        assert row.end is not None
        assert -1 < row.end.low <= row.end.mean <= row.end.high < 0.9
    after = state_of(digits_run.model)
    assert all(torch.equal(value, after[name]) for name, value in before.items())

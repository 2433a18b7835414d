"""CrossEntropyLoss against PyTorch, its stability, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convscope.numpy_nn import CrossEntropyLoss


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 8), st.integers(1, 12)),
    smoothing=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    scale=st.sampled_from([1.0, 10.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_parity(assert_close, dtype, shape, smoothing, scale, seed):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal(shape)).astype(dtype)
    labels = rng.integers(0, shape[1], shape[0])
    loss = CrossEntropyLoss(smoothing)
    value = loss(logits, labels)

    theirs = torch.tensor(logits, requires_grad=True)
    output = nn.CrossEntropyLoss(label_smoothing=smoothing)(theirs, torch.from_numpy(labels))
    output.backward()
    assert_close(np.asarray(value), output, "loss")
    assert_close(loss.backward(), theirs.grad, "gradient of the logits")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_large_logits_do_not_overflow(assert_close, smoothing):
    logits = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 1e4 - 1]])
    labels = np.array([2, 1])
    loss = CrossEntropyLoss(smoothing)
    theirs = torch.tensor(logits, requires_grad=True)
    output = nn.CrossEntropyLoss(label_smoothing=smoothing)(theirs, torch.from_numpy(labels))
    output.backward()
    assert_close(np.asarray(loss(logits, labels)), output, "loss")
    assert_close(loss.backward(), theirs.grad, "gradient")


def test_a_class_ruled_out_costs_nothing():
    loss = CrossEntropyLoss()
    assert loss(np.array([[0.0, 0.0, -np.inf]]), np.array([1])) == pytest.approx(np.log(2))
    assert np.array_equal(loss.backward(), [[0.5, -0.5, 0]])


def test_is_a_number_and_leaves_its_arguments_alone():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 3)).astype(np.float32), np.array([0, 2, 1, 1], np.uint8)
    kept = logits.copy(), labels.copy()
    loss = CrossEntropyLoss(0.1)
    value = loss(logits, labels)
    assert isinstance(value, np.float32)
    first = loss.backward()
    first[:] = 7  # what a caller does to its copy
    labels[:] = 0
    assert not np.array_equal(loss.backward(), first)
    assert np.abs(loss.backward().sum(axis=1)).max() < 1e-6  # each row: probabilities minus a distribution
    assert np.array_equal(logits, kept[0])


def test_backward_needs_a_loss():
    loss = CrossEntropyLoss()
    with pytest.raises(RuntimeError, match=r"CrossEntropyLoss.backward has no loss to go back through"):
        loss.backward()
    loss(np.zeros((1, 2)), np.array([1]))
    with pytest.raises(ValueError, match="labels"):
        loss(np.zeros((1, 2)), np.array([2]))
    with pytest.raises(RuntimeError, match="no loss"):  # not the gradient of the one before
        loss.backward()


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros(3), np.array([0]), r"got logits \(3,\): expected \(N, K\)"),
        (np.zeros((0, 3)), np.zeros(0, int), r"got logits \(0, 3\): expected \(N, K\), neither of them 0"),
        (np.zeros((2, 3), int), np.array([0, 1]), r"got int64 input \(2, 3\): expected float32 or float64"),
        (np.zeros((2, 3)), np.array([0]), r"got labels \(1,\) for logits \(2, 3\): expected one a row, \(2,\)"),
        (np.zeros((2, 3)), np.array([[0], [1]]), r"got labels \(2, 1\) for logits \(2, 3\)"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), r"got float64 labels \(2,\): expected whole numbers"),
        (np.zeros((2, 3)), np.array([0, 3]), r"got labels 0..3 for logits \(2, 3\): expected 0..2"),
        (np.zeros((2, 3)), np.array([-1, 2]), r"got labels -1..2 for logits \(2, 3\): expected 0..2"),
    ],
)
def test_refuses(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss()(logits, labels)


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, float("nan"), None, "a"])
def test_refuses_a_smoothing_out_of_range(smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing {smoothing!r}: expected a number from 0 to 1"):
        CrossEntropyLoss(smoothing)

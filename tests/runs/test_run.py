"""A Run prepares pictures and computes probabilities as training did, whatever form the pictures come in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from convscope import train
from convscope.runs import Run

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8)).astype(np.uint8)


def test_preprocess_is_the_training_normalisation(digits_run: Run) -> None:
    mean, std = digits_run.checkpoint["mean"][0], digits_run.checkpoint["std"][0]
    expected = (IMAGES / 255 - mean) / std
    np.testing.assert_allclose(digits_run.preprocess(IMAGES).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(digits_run.preprocess(torch.from_numpy(IMAGES)), digits_run.preprocess(IMAGES))


def test_read_only_and_turned_arrays_are_welcome(digits_run: Run) -> None:
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    assert torch.equal(digits_run.preprocess(frozen), digits_run.preprocess(IMAGES))
    turned = IMAGES[:, :, ::-1].copy()[:, :, ::-1]
    assert torch.equal(digits_run.preprocess(turned), digits_run.preprocess(IMAGES))


def test_probabilities_are_the_softmax_and_do_not_depend_on_the_batch(digits_run: Run) -> None:
    logits = digits_run.model(digits_run.preprocess(IMAGES)).detach()
    np.testing.assert_allclose(digits_run.logits(IMAGES, batch_size=3), logits.numpy(), rtol=1e-4, atol=1e-5)
    expected = logits.double().softmax(1).numpy()
    np.testing.assert_allclose(digits_run.probabilities(IMAGES), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(digits_run.probabilities(IMAGES).sum(axis=1), 1, rtol=1e-12)
    assert digits_run.logits(IMAGES[:0]).shape == (0, 10)


def test_logits_of_colour_pictures_are_those_of_one_contiguous_batch(tmp_path: Path) -> None:
    """Through batches of 64 and one of 6, and another layout in memory: channels or pictures mixed up would show."""
    run = train("shapes", out=tmp_path / "run", train__epochs=1, model__base_channels=4, data__subset=64)
    images = np.random.default_rng(1).integers(0, 256, (70, 3, 32, 32)).astype(np.uint8)
    with torch.no_grad():
        expected = run.model(run.preprocess(images)).numpy()
    assert np.abs(expected - expected[:, ::-1]).max() > 0.1
    np.testing.assert_allclose(run.logits(images), expected, rtol=1e-4, atol=1e-5)


def test_wrong_pictures_show_their_shape(digits_run: Run) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(N, C, H, W\), got torch.float32"):
        digits_run.preprocess(IMAGES.astype(np.float32))
    with pytest.raises(ValueError, match=r"got 3 channels \(input \(2, 3, 8, 8\)\)"):
        digits_run.preprocess(np.zeros((2, 3, 8, 8), np.uint8))

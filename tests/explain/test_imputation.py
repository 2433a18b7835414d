"""Imputation against the linear equations solved densely."""

import numpy as np
import torch

from convscope.explain import imputation
from convscope.explain.imputation import impute


def solved(picture, missing):
    """One channel (H, W) by a dense solve of Σ_q w_pq (x_p - x_q) = 0 over the missing pixels p."""
    height, width = picture.shape
    a, b = np.eye(height * width), picture.ravel().copy()
    for row, column in np.argwhere(missing):
        p = row * width + column
        a[p], b[p] = 0, 0
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                r, c = row + down, column + right
                if (down or right) and 0 <= r < height and 0 <= c < width:
                    weight = 1 / 6 if not (down and right) else 1 / 12
                    a[p, p] += weight
                    a[p, r * width + c] -= weight
    return np.linalg.solve(a, b).reshape(height, width)


def test_missing_pixels_are_the_weighted_means_of_their_neighbours(pictures, monkeypatch):
    monkeypatch.setattr(imputation, "NOISE", 0.0)
    images = pictures(4, dtype=torch.float64)
    missing = (
        torch.rand(4, 10, 14, generator=torch.Generator().manual_seed(2))
        < torch.tensor([0, 0.3, 0.7, 0.95])[:, None, None]
    )
    found = impute(images, missing, tolerance=1e-10)
    for picture, hole, filled in zip(images.numpy(), missing.numpy(), found.numpy(), strict=True):
        for channel, ours in zip(picture, filled, strict=True):
            np.testing.assert_allclose(ours, solved(channel, hole), atol=1e-7)
            assert (ours[~hole] == channel[~hole]).all()


def test_what_is_all_missing_is_the_mean_colour_but_for_noise(pictures):
    missing = torch.zeros(2, 10, 14, dtype=torch.bool)
    missing[1] = True
    found = impute(pictures(2), missing)
    torch.testing.assert_close(found[0], pictures(2)[0])
    assert 0.005 < found[1].std() < 0.015
    assert found[1].abs().max() < 0.1

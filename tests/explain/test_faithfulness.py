"""Curves and figures of faithfulness on a network that looks at known pixels."""

import numpy as np
import torch
from torch import nn

from convscope.explain.controls import CONTROLS
from convscope.explain.faithfulness import (
    STEPS,
    Curve,
    average_drop,
    blurred,
    bootstrap,
    deletion,
    insertion,
    ranks,
    road,
)


class Corner(nn.Module):
    """Class 1 is as likely as the mean of a 4×4 corner of the first channel says; nothing else matters."""

    def forward(self, x):
        return torch.stack([torch.zeros(len(x)), 4 * x[:, 0, :4, :4].mean(dim=(1, 2))], dim=1).softmax(1)


def setting():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 16, 16, generator=generator)
    images[:, 0, :4, :4] += 1.5
    right = torch.zeros(6, 16, 16)
    right[:, :4, :4] = 1 + torch.rand(6, 4, 4, generator=generator)
    return Corner(), images, torch.ones(6, dtype=torch.int64), right


def test_the_map_that_knows_beats_every_control():
    classify, images, targets, right = setting()
    scores = {name: control(images) for name, control in CONTROLS.items()} | {"right": right}
    assert all(maps.shape == (6, 16, 16) and maps.min() >= 0 for maps in scores.values())
    area = {name: deletion(classify, images, targets, maps).areas.mean() for name, maps in scores.items()}
    assert min(area, key=area.__getitem__) == "right"
    area = {name: insertion(classify, images, targets, maps).areas.mean() for name, maps in scores.items()}
    assert max(area, key=area.__getitem__) == "right"
    area = {name: road(classify, images, targets, maps).areas.mean() for name, maps in scores.items()}
    assert min(area, key=area.__getitem__) == "right"


def test_deletion_and_insertion_pixel_by_pixel():
    """In 256 steps each removes the next pixel of the order; the 16 of the corner come first and are then all gone."""
    classify, images, targets, right = setting()
    falling = deletion(classify, images, targets, right, steps=256)
    assert falling.values.shape == (6, 257)
    np.testing.assert_allclose(falling.values[:, 0], classify(images)[:, 1], rtol=1e-6)
    np.testing.assert_allclose(falling.values[:, 16:], 0.5, atol=1e-6)
    order = right[2].flatten().argsort(descending=True)[:7]
    left = images[2].clone().flatten(1)
    left[:, order] = 0
    np.testing.assert_allclose(falling.values[2, 7], classify(left.view(1, 3, 16, 16))[0, 1], rtol=1e-6)
    rising = insertion(classify, images, targets, right)
    assert rising.shares.tolist() == [step / STEPS for step in range(STEPS + 1)]
    np.testing.assert_allclose(rising.values[:, 0], classify(blurred(images))[:, 1], rtol=1e-6)
    np.testing.assert_allclose(rising.values[:, -1], classify(images)[:, 1], rtol=1e-6)


def test_the_area_is_that_of_trapezoids():
    curve = Curve(np.array([0.0, 0.2, 1.0]), np.array([[1.0, 0.5, 0.25], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(curve.areas, [0.75 * 0.2 + 0.375 * 0.8, 0.5 * 0.8])


def test_drop_and_rise_through_the_heatmap():
    classify, images, targets, right = setting()
    drops, rises = average_drop(classify, images, targets, (right > 0).float())
    np.testing.assert_allclose(drops, 0, atol=1e-6)
    drops, rises = average_drop(classify, images, targets, torch.zeros(6, 16, 16))
    whole = classify(images)[:, 1].numpy()
    np.testing.assert_allclose(drops, np.maximum(0, whole - 0.5) / whole, rtol=1e-5)
    np.testing.assert_array_equal(rises, whole < 0.5)


def test_equals_are_ordered_by_lot():
    maps = torch.zeros(2, 8, 9)
    maps[1, 5, 3], maps[1, 2, 2] = 2.0, 1.0
    found = ranks(maps)
    assert sorted(found[0].flatten().tolist()) == list(range(72))
    assert (found[1, 5, 3], found[1, 2, 2]) == (0, 1)
    first = (found[0] < 36).float()
    assert abs(first[:4].mean() - first[4:].mean()) < 0.5  # not simply from the top


def test_blur_keeps_the_mean_and_takes_the_detail(pictures):
    images = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(1)) + 3
    soft = blurred(images)
    assert soft.shape == images.shape
    assert abs(float(soft.mean()) - 3) < 0.05
    assert soft.std() < 0.15
    torch.testing.assert_close(blurred(torch.full((1, 1, 9, 7), 2.5)), torch.full((1, 1, 9, 7), 2.5))


def test_the_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        _, low, high = bootstrap(rng.normal(1.0, 2.0, 60), draws=400, seed=trial)
        covered += low <= 1.0 <= high
    assert 0.90 < covered / 300 < 0.98
    mean, low, high = bootstrap(np.full(10, 3.0))
    assert mean == low == high == 3

"""Gradient methods against finite differences, completeness, and sums written out."""

import torch
from torch import nn

from convscope.explain.capture import EvalCopy
from convscope.explain.gradients import (
    NOISE,
    input_gradient,
    input_x_gradient,
    integrated_gradients,
    saliency,
    smooth_grad,
)


def logits(model, images, targets):
    with torch.no_grad():
        return model(images).gather(1, targets[:, None])[:, 0]


def test_the_gradient_by_directional_finite_differences(make, pictures):
    model = make("deep", seed=2, dtype=torch.float64).eval()
    images, targets, step = pictures(3, dtype=torch.float64), torch.tensor([0, 3, 1]), 1e-6
    gradient = input_gradient(model, images, targets)
    for seed in range(5):
        way = pictures(3, seed=20 + seed, dtype=torch.float64)
        rise = logits(model, images + step * way, targets) - logits(model, images - step * way, targets)
        torch.testing.assert_close((gradient * way).sum(dim=(1, 2, 3)), rise / (2 * step), rtol=1e-6, atol=1e-8)


def test_saliency_and_input_x_gradient_by_finite_differences_of_single_pixels(make, pictures):
    model = make("deep", seed=2, dtype=torch.float64).eval()
    images, targets, step = pictures(1, dtype=torch.float64), torch.tensor([2]), 1e-6
    steep, product = saliency(model, "", images, targets)[0], input_x_gradient(model, "", images, targets)[0]
    for row, column in ((0, 0), (3, 8), (9, 13)):
        slopes = []
        for channel in range(3):
            bump = torch.zeros_like(images)
            bump[0, channel, row, column] = step
            rise = logits(model, images + bump, targets) - logits(model, images - bump, targets)
            slopes.append(float(rise) / (2 * step))
        slopes = torch.tensor(slopes, dtype=torch.float64)
        torch.testing.assert_close(steep[row, column], slopes.abs().max(), rtol=1e-5, atol=1e-9)
        expected = (slopes * images[0, :, row, column]).sum()
        torch.testing.assert_close(product[row, column], expected, rtol=1e-5, atol=1e-9)


def test_integrated_gradients_are_complete(make, pictures):
    images, targets = pictures(5, dtype=torch.float64), torch.arange(5) % 4
    for kind in ("gap", "deep"):
        model = make(kind, seed=4, dtype=torch.float64).eval()
        maps = integrated_gradients(model, "", images, targets)
        expected = logits(model, images, targets) - logits(model, torch.zeros_like(images), targets)
        assert ((maps.sum(dim=(1, 2)) - expected).abs() <= 1e-3 * expected.abs()).all(), kind


def test_integrated_gradients_unrefined_make_the_same_passes_whatever_they_miss(make, pictures):
    """65 logits on the way and 64 gradients a picture; refined, the same network takes more."""
    images, targets, passes = pictures(2, dtype=torch.float64), torch.tensor([0, 1]), {}
    for refine in (True, False):
        copy, seen = EvalCopy(make("deep", seed=4, dtype=torch.float64), refine=refine), []
        copy.model.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        integrated_gradients(copy, "", images, targets)
        passes[refine] = sum(seen)
    assert passes[False] == 2 * (65 + 64) < passes[True]


def test_integrated_gradients_of_a_square_are_its_thirds():
    """y = Σ a x³: the integral of the gradient is a x² a pixel, so the map is a x³, whatever the halfway gradient."""

    class Cubic(nn.Module):
        def forward(self, x):
            return torch.stack([(self.a * x**3).sum(dim=(1, 2, 3)), x.sum(dim=(1, 2, 3))], dim=1)

    model, images = Cubic(), torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.a = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    maps = integrated_gradients(model, "", images, torch.tensor([0, 0]), steps=400)
    torch.testing.assert_close(maps, (model.a * images**3).sum(1), rtol=1e-4, atol=1e-5)


def test_smooth_grad_is_the_mean_over_its_noisy_copies(make, pictures):
    model = make("deep", seed=2, dtype=torch.float64).eval()
    images, targets = pictures(2, dtype=torch.float64), torch.tensor([0, 3])
    found = smooth_grad(model, "", images, targets, copies=3, seed=7)
    generator = torch.Generator().manual_seed(7)
    total = 0
    for _ in range(3):
        noise = torch.randn(3, 10, 14, generator=generator).double()
        for i in range(2):
            noisy = images[i] + NOISE * (images[i].max() - images[i].min()) * noise
            total = total + nn.functional.pad(
                input_gradient(model, noisy[None], targets[i : i + 1]), (0,) * 6 + (i, 1 - i)
            )
    torch.testing.assert_close(found, (total / 3).abs().amax(1))
    assert not torch.allclose(found, saliency(model, "", images, targets), rtol=0.1)

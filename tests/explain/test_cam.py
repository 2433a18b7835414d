"""Grad-CAM against closed forms, an independent implementation, and finite differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.explain.cam import grad_cam, weighted_sum


def classic_cam(model, images, targets):
    """CAM of Zhou et al. 2016: Σ_k W_ck A_k with A the last convolutional output, (N, h, w)."""
    with torch.no_grad():
        activation = model.features(images)
        return torch.einsum("nk,nkhw->nhw", model.head.weight[targets], activation)


def split_grad_cam(model, images, targets, head):
    """Grad-CAM written out for DeepNet: run to the layer, then `head` from there on, one picture at a time."""
    maps = []
    for image, target in zip(images, targets, strict=True):
        activation, rest = head(image[None])
        activation = activation.detach().requires_grad_()
        rest(activation)[0, target].backward()
        weights = activation.grad[0].flatten(1).mean(1)
        maps.append(sum(w * a for w, a in zip(weights, activation.detach()[0], strict=True)))
    return torch.stack(maps)


def middle_head(model):
    """DeepNet cut open at `middle`, before its in-place ReLU; the skip connection keeps the picture's own values."""

    def head(image):
        with torch.no_grad():
            before = F.relu(model.norm(model.stem(image)))
            activation = model.middle(before)

        def rest(a):
            x = F.adaptive_avg_pool2d(torch.tanh(model.last(F.relu(a) + before)), (2, 3))
            return model.head(F.gelu(model.hidden(x.flatten(1))))

        return activation, rest

    return head


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_is_classic_cam_over_hw_for_a_pooled_linear_head(make, pictures, dtype, tolerance):
    model = make("gap", seed=3, dtype=dtype).eval()
    images, targets = pictures(6, dtype=dtype), torch.tensor([0, 4, 2, 1, 3, 4])
    maps = grad_cam(model, "features", images, targets)
    assert maps.shape == (6, 5, 7)
    assert maps.dtype == dtype
    expected = classic_cam(model, images, targets) / (5 * 7)
    assert (maps < 0).any()
    assert (maps > 0).any()
    torch.testing.assert_close(maps, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_matches_grad_cam_written_out_by_hand(make, pictures, dtype, tolerance):
    model = make("deep", seed=5, dtype=dtype).eval()
    images, targets = pictures(5, seed=6, dtype=dtype), torch.tensor([1, 0, 3, 2, 1])
    maps = grad_cam(model, "middle", images, targets)
    assert maps.shape == (5, 10, 14)
    expected = split_grad_cam(model, images, targets, middle_head(model))
    torch.testing.assert_close(maps, expected, atol=tolerance, rtol=tolerance)


def test_weights_are_finite_differences_of_the_logit(make, pictures):
    """w_k h w = d logit / d t when channel k is raised by t everywhere; the map follows from the w_k by equation 2."""
    model = make("deep", seed=7, dtype=torch.float64).eval()
    images, target, step = pictures(1, seed=8, dtype=torch.float64), 2, 1e-5
    activation, rest = middle_head(model)(images)
    weights = []
    for k in range(activation.shape[1]):
        bump = torch.zeros_like(activation)
        bump[:, k] = step
        with torch.no_grad():
            difference = rest(activation + bump)[0, target] - rest(activation - bump)[0, target]
        weights.append(difference / (2 * step) / (10 * 14))
    expected = torch.einsum("k,khw->hw", torch.stack(weights), activation[0])
    maps = grad_cam(model, "middle", images, torch.tensor([target]))
    torch.testing.assert_close(maps[0], expected, atol=1e-9, rtol=1e-6)


def test_batch_of_eight_is_eight_singles(make, pictures):
    model = make("deep", seed=9, dtype=torch.float64)
    images, targets = pictures(8, dtype=torch.float64), torch.arange(8) % 4
    together = grad_cam(model, "last", images, targets)
    singles = [grad_cam(model, "last", images[i : i + 1], targets[i : i + 1]) for i in range(8)]
    torch.testing.assert_close(together, torch.cat(singles), atol=1e-14, rtol=1e-12)


def test_half_precision_sums_in_float32(make, pictures):
    model = make("gap", seed=3, dtype=torch.bfloat16).eval()
    images, targets = pictures(2, dtype=torch.bfloat16), torch.tensor([0, 4])
    maps = grad_cam(model, "features", images, targets)
    assert maps.dtype == torch.float32
    with torch.no_grad():
        activation = model.features(images).float()
    gradient = (model.head.weight[targets] / 35).float()  # of the mean, rounded to bfloat16 by the model
    torch.testing.assert_close(maps, torch.einsum("nk,nkhw->nhw", gradient, activation), atol=1e-3, rtol=1e-2)


class TestWeightedSum:
    def test_weights_may_differ_from_place_to_place(self):
        generator = torch.Generator().manual_seed(0)
        weights, activation = (torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
        torch.testing.assert_close(weighted_sum(weights, activation), (weights * activation).sum(1))

    def test_what_rounding_alone_explains_is_zero(self):
        """0.1 + 0.2 - 0.3 is not 0 in either precision; beside it stands a sum of the same terms that is real."""
        for dtype in (torch.float32, torch.float64):
            weights = torch.tensor([0.1, 0.2, -0.3], dtype=dtype).view(1, 3, 1, 1)
            same = torch.linspace(1, 3, 20, dtype=dtype).view(1, 1, 4, 5).repeat(1, 3, 1, 1)
            assert (weights * same).sum(1).abs().max() > 0, "the trap is not set"
            same[0, 0, 1, 2] += 1e-4
            maps = weighted_sum(weights, same)[0]
            assert maps[1, 2].item() == pytest.approx(1e-5, rel=0.05)
            maps[1, 2] = 0
            assert not maps.any()

    def test_one_channel_is_never_doubted(self):
        tiny = torch.tensor([1e-30, -1e-30]).view(1, 1, 1, 2)
        np.testing.assert_allclose(weighted_sum(torch.ones(1, 1, 1, 1), tiny), [[[1e-30, -1e-30]]], rtol=1e-6)


def test_linear_and_constant_head_of_an_nn_sequential():
    """A user's plain Sequential with a flattened head: the weights are means of the head's own weights."""
    torch.manual_seed(11)
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3 * 4 * 3, 2)).double()
    images = torch.randn(3, 2, 5, 4, dtype=torch.float64)
    maps = grad_cam(model, "0", images, torch.tensor([1, 0, 1]))
    head = model[2].weight.detach().view(2, 3, 4, 3)[[1, 0, 1]].mean(dim=(2, 3))
    expected = torch.einsum("nk,nkhw->nhw", head, model[0](images).detach())
    torch.testing.assert_close(maps, expected, atol=1e-14, rtol=1e-12)

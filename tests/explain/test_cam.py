"""Grad-CAM against closed forms, an independent implementation, and finite differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain.cam import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, weighted_sum, x_grad_cam


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


class TestGradCamPlusPlus:
    def test_is_equation_19_by_third_derivatives(self, make, pictures):
        """Y = exp(y): its three derivatives by autograd, one place at a time, put into the paper's own formula."""
        model = make("gap", seed=3, dtype=torch.float64).eval()
        images, targets = pictures(2, dtype=torch.float64), torch.tensor([0, 4])
        maps = grad_cam_plus_plus(model, "features", images, targets)
        activations = model.features(images).detach()
        for activation, target, found in zip(activations, targets, maps, strict=True):
            a = activation.clone().requires_grad_()
            y = model.head(a.mean(dim=(1, 2)))[target].exp()
            (first,) = torch.autograd.grad(y, a, create_graph=True)
            weights = torch.zeros(len(a), dtype=torch.float64)
            for k, i, j in np.ndindex(*a.shape):
                (second,) = torch.autograd.grad(first[k, i, j], a, create_graph=True)
                (third,) = torch.autograd.grad(second[k, i, j], a, retain_graph=True)
                d1, d2, d3 = first[k, i, j].item(), second[k, i, j].item(), third[k, i, j].item()
                alpha = d2 / (2 * d2 + activation[k].sum().item() * d3)
                weights[k] += alpha * max(d1, 0)
            expected = torch.einsum("k,khw->hw", weights, activation) / y.item()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)

    def test_what_has_no_meaning_is_refused(self):
        model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
        with torch.no_grad():
            model[0].weight.fill_(-1)
            model[3].weight.fill_(3)
        with pytest.raises(UsageError, match="name a layer behind a ReLU"):
            grad_cam_plus_plus(model, "0", torch.ones(1, 1, 4, 5), torch.tensor([0]))


def flat_net(dtype=torch.float64):
    """A convolution, ReLU, and a linear head on all its places."""
    torch.manual_seed(21)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 12, 3)).to(dtype)


def test_hires_cam_sums_to_the_logit_without_its_bias(make, pictures):
    images, targets = pictures(5, dtype=torch.float64), torch.tensor([2, 0, 1, 1, 0])
    for model, layer in ((flat_net(), "1"), (make("gap", dtype=torch.float64).eval(), "features")):
        head = model[-1] if layer == "1" else model.head
        with torch.no_grad():
            expected = (model(images) - head.bias).gather(1, targets[:, None])[:, 0]
        maps = hires_cam(model, layer, images, targets)
        torch.testing.assert_close(maps.sum(dim=(1, 2)), expected, rtol=1e-10, atol=1e-12)
        apart = (maps - grad_cam(model, layer, images, targets)).abs().max() / maps.abs().max()
        assert apart > 0.05 if layer == "1" else apart < 1e-12  # both agree behind global average pooling alone


def test_x_grad_cam_gives_each_channel_what_hires_cam_gives_it(make, pictures):
    model, images = make("deep", dtype=torch.float64).eval(), pictures(3, dtype=torch.float64)
    targets = torch.tensor([3, 1, 0])
    ours = x_grad_cam(model, "middle", images, targets).sum(dim=(1, 2))
    torch.testing.assert_close(ours, hires_cam(model, "middle", images, targets).sum(dim=(1, 2)))
    activation, rest = middle_head(model)(images)
    activation.requires_grad_()
    (g,) = torch.autograd.grad(rest(activation).gather(1, targets[:, None]).sum(), activation)
    share = activation / activation.sum(dim=(2, 3), keepdim=True)
    expected = ((share * g).sum(dim=(2, 3), keepdim=True) * activation).sum(1)
    torch.testing.assert_close(x_grad_cam(model, "middle", images, targets), expected.detach())


def test_a_channel_that_sums_to_zero_has_no_weight_in_x_grad_cam():
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(2 * 2 * 3, 2)).double()
    images = torch.tensor([[[[1.0, -1, 2], [-2, 3, -3]], [[1, 2, 3], [4, 5, 6]]]], dtype=torch.float64)
    found = x_grad_cam(model, "0", images, torch.tensor([1]))
    g = model[2].weight.detach()[1].view(2, 2, 3)
    torch.testing.assert_close(found[0], images[0, 1] * (g[1] * images[0, 1]).sum() / 21)


def test_layer_cam_weighs_each_place_by_its_rising_gradient(pictures):
    model, images = flat_net(), pictures(2, dtype=torch.float64)
    g = model[3].weight.detach()[[2, 0]].view(2, 4, 8, 12)
    expected = (g.clamp(min=0) * model[1](model[0](images)).detach()).sum(1)
    torch.testing.assert_close(layer_cam(model, "1", images, torch.tensor([2, 0])), expected)

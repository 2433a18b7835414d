"""Score-CAM, Ablation-CAM and occlusion, one picture and one mask at a time."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from convscope.explain import capture, explain
from convscope.explain.perturbation import ablation_cam, occlusion, score_cam


def setting(make, pictures):
    model = make("gap", seed=6, dtype=torch.float64).eval().requires_grad_(False)
    return model, pictures(3, dtype=torch.float64), torch.tensor([4, 0, 2])


@pytest.mark.parametrize("at_once", [1, 3 * 140, 2**18])
def test_score_cam(make, pictures, monkeypatch, at_once):
    monkeypatch.setattr(capture, "AT_ONCE", at_once)
    model, images, targets = setting(make, pictures)
    maps = score_cam(model, "features.0", images, targets)
    for image, target, found in zip(images, targets, maps, strict=True):
        activation = model.features[0](image[None])[0]
        scores = []
        for channel in activation:
            mask = F.interpolate(channel[None, None], size=(10, 14), mode="bilinear", align_corners=False)[0, 0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append(model((image * mask)[None])[0, target])
        weights = torch.stack(scores).softmax(0)
        torch.testing.assert_close(found, torch.einsum("k,khw->hw", weights, activation))


def test_a_channel_without_any_contrast_gets_no_weight_in_score_cam():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(2 * 4 * 5, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
        model[0].bias.copy_(torch.tensor([0.0, 7.0]))
    image = torch.randn(1, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(score_cam(model, "0", image, torch.tensor([1])), image[:, 0])
    assert not score_cam(model, "0", torch.ones(1, 1, 4, 5), torch.tensor([1])).any()


@pytest.mark.parametrize("at_once", [1, 3 * 140, 2**18])
def test_ablation_cam(make, pictures, monkeypatch, at_once):
    monkeypatch.setattr(capture, "AT_ONCE", at_once)
    model, images, targets = setting(make, pictures)
    maps = ablation_cam(model, "features", images, targets)
    activations = model.features(images)
    for i, target in enumerate(targets):
        activation, logit = activations[i], model.head(activations[i].mean(dim=(1, 2)))[target]
        weights = []
        for k in range(len(activation)):
            without = activation.clone()
            without[k] = 0
            weights.append(logit - model.head(without.mean(dim=(1, 2)))[target])
        torch.testing.assert_close(maps[i], torch.einsum("k,khw->hw", torch.stack(weights), activation))


def test_occlusion_is_the_mean_loss_over_the_squares_on_a_pixel(make, pictures):
    model, _, targets = setting(make, pictures)
    images = torch.randn(3, 3, 17, 33, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    maps = occlusion(model, "", images, targets)
    for image, target, found in zip(images, targets, maps, strict=True):
        loss, count = torch.zeros(17, 33, dtype=torch.float64), torch.zeros(17, 33, dtype=torch.float64)
        for top in range(0, 16):  # squares of 2, every pixel apart: half of an eighth of 17
            for left in range(0, 32):
                covered = image.clone()
                covered[:, top : top + 2, left : left + 2] = 0
                lost = model(image[None])[0, target] - model(covered[None])[0, target]
                loss[top : top + 2, left : left + 2] += lost
                count[top : top + 2, left : left + 2] += 1
        torch.testing.assert_close(found, loss / count)


class Largest(TorchDispatchMode):
    """Sees every tensor that is made inside it; `numbers` of the largest."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


MANY = ["score-cam", "ablation-cam", "occlusion"]


@pytest.mark.parametrize("method", MANY)
def test_no_tensor_is_larger_than_those_of_one_forward_pass(make, pictures, monkeypatch, method):
    """However many channels, squares and pictures there are: masks and covered pictures are made part by part."""
    monkeypatch.setattr(capture, "AT_ONCE", 6 * 140)
    model, images = make("gap").eval(), pictures(6)
    with torch.no_grad(), Largest() as once:
        model(images)
    assert once.numbers == 6 * 6 * 140, "the first convolution's output"
    with Largest() as all_of_them:
        explain(model, images, method=method)
    assert all_of_them.numbers == once.numbers


@pytest.mark.parametrize(("method", "total"), [("score-cam", 2 * 8), ("ablation-cam", 2 * 8), ("occlusion", 2 * 140)])
def test_progress_goes_up_to_all_passes(make, pictures, monkeypatch, method, total):
    monkeypatch.setattr(capture, "AT_ONCE", 3 * 140)
    told = []
    explain(make("gap"), pictures(2), method=method, progress=lambda *of: told.append(of))
    assert told == [(min(done, total), total) for done in range(3, total + 3, 3)]
    explain(make("gap"), pictures(2), progress=lambda *of: told.append("of one pass"))
    assert told[-1] == (total, total)


@pytest.mark.parametrize("method", MANY)
def test_pictures_that_share_a_part_do_not_mix(make, pictures, monkeypatch, method):
    """Parts of five passes end amid the channels, and squares, of a picture."""
    model, images, targets = setting(make, pictures)
    whole = explain(model, images, targets, method=method).maps
    monkeypatch.setattr(capture, "AT_ONCE", 5 * 140)
    torch.testing.assert_close(
        torch.from_numpy(explain(model, images, targets, method=method).maps), torch.from_numpy(whole)
    )

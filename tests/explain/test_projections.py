"""Classic CAM and Eigen-CAM against their definitions."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain.cam import grad_cam
from convscope.explain.projections import cam, eigen_cam


def test_cam_is_the_heads_weights_and_h_w_times_grad_cam(make, pictures):
    model, images = make("gap", dtype=torch.float64).eval(), pictures(4, dtype=torch.float64)
    targets = torch.tensor([0, 4, 2, 2])
    maps = cam(model, "features", images, targets)
    expected = torch.einsum("nk,nkhw->nhw", model.head.weight[targets], model.features(images)).detach()
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(maps, 35 * grad_cam(model, "features", images, targets))
    bias = model.head.bias.detach()[targets]
    logit = model(images).detach().gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(maps.mean(dim=(1, 2)) + bias, logit)


class Functional(nn.Module):
    """The head is a bare function on a parameter."""

    def __init__(self, pool):
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.weight, self.pool = nn.Conv2d(3, 4, 3), nn.Parameter(torch.randn(2, 4)), pool

    def forward(self, x):
        return F.linear(self.pool(self.conv(x)), weight=self.weight)


def test_a_functional_head_is_no_obstacle(pictures):
    model = Functional(lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1))
    images, targets = pictures(3), torch.tensor([1, 0, 1])
    expected = torch.einsum("nk,nkhw->nhw", model.weight[targets], model.conv(images)).detach()
    torch.testing.assert_close(cam(model, "conv", images, targets), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "layer", "said"),
    [
        (Functional(lambda x: x.amax(dim=(2, 3))), "conv", "does not get the means"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0", "not come straight"),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(192, 2), nn.ReLU()), "0", "not come straight"),
    ],
)
def test_another_kind_of_head_is_refused_with_the_reason(pictures, model, layer, said):
    with pytest.raises(UsageError, match=f"classic CAM needs global average pooling .* {said}"):
        cam(model, layer, pictures(2), torch.tensor([0, 1]))


def test_eigen_cam_is_the_strongest_sum_of_channels(make, pictures):
    model, images = make("gap", dtype=torch.float64).eval(), pictures(3, dtype=torch.float64)
    maps = eigen_cam(model, "features.4", images, torch.tensor([0, 1, 2]))
    for activation, found in zip(model.features[:5](images).detach().numpy(), maps.numpy(), strict=True):
        places = activation.reshape(len(activation), -1).T
        values, vectors = np.linalg.eigh(places.T @ places)
        expected = (places @ vectors[:, -1]).reshape(5, 7)
        np.testing.assert_allclose(found, expected * np.sign(expected.sum()), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose((found**2).sum(), values[-1])
    torch.testing.assert_close(maps, eigen_cam(model, "features.4", images, torch.tensor([4, 4, 4])))

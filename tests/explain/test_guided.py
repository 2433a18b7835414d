"""Guided backpropagation, written out for a small network, however its ReLU is spelled."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import UsageError
from convscope.explain import explain
from convscope.explain.cam import grad_cam
from convscope.explain.guided import guided_backprop, guided_grad_cam

SPELLINGS = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "method": lambda x: x.relu(),
    "method_": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp by place": lambda x: torch.clamp(x, 0),
    "clamp_min": lambda x: torch.clamp_min(x, 0.0),
}


class TwoLayers(nn.Module):
    def __init__(self, relu):
        super().__init__()
        torch.manual_seed(3)
        self.conv1, self.conv2 = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)
        self.relu = relu

    def forward(self, x):
        x = self.relu(self.conv1(x))
        return self.head(self.relu(self.conv2(x)).mean(dim=(2, 3)))


def by_hand(model, image, target):
    """The rule at both ReLUs, layer by layer, with torch's own backward of each convolution."""
    z1 = model.conv1(image)
    z2 = model.conv2(z1.clamp(min=0))
    g = model.head.weight[target][None, :, None, None].expand_as(z2) / z2[0, 0].numel()
    g = (z2 > 0) * g.clamp(min=0)
    g = torch.nn.grad.conv2d_input(z1.shape, model.conv2.weight, g.contiguous(), stride=2)
    g = (z1 > 0) * g.clamp(min=0)
    return torch.nn.grad.conv2d_input(image.shape, model.conv1.weight, g, padding=1)[0]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_rule_at_every_relu(pictures, spelling):
    model = TwoLayers(SPELLINGS[spelling]).double()
    images, targets = pictures(3, dtype=torch.float64), torch.tensor([2, 0, 1])
    maps = guided_backprop(model, "", images, targets)
    for image, target, found in zip(images, targets, maps, strict=True):
        with torch.no_grad():
            expected = by_hand(model, image[None], target)
        strongest = expected.gather(0, expected.abs().argmax(0, keepdim=True))[0]
        torch.testing.assert_close(found, strongest)
        assert found.abs().max() > 0


def test_guided_grad_cam_is_the_product(pictures):
    model = TwoLayers(F.relu).double()
    images, targets = pictures(2, dtype=torch.float64), torch.tensor([1, 2])
    coarse = grad_cam(model, "conv2", images, targets).clamp(min=0)[:, None]
    enlarged = F.interpolate(coarse, size=(10, 14), mode="bilinear", align_corners=False, antialias=True)[:, 0]
    expected = guided_backprop(model, "", images, targets) * enlarged
    torch.testing.assert_close(guided_grad_cam(model, "conv2", images, targets), expected)


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (nn.GELU(), "uses gelu"),
        (torch.tanh, "uses tanh"),
        (nn.LeakyReLU(), "uses leaky_relu"),
        (nn.Identity(), "has none"),
    ],
)
def test_where_the_rule_has_no_meaning_it_is_refused(pictures, activation, said):
    for method in ("guided-backprop", "guided-grad-cam"):
        with pytest.raises(UsageError, match=f"{method} is defined for networks whose .* ReLU, and this model {said}"):
            explain(TwoLayers(activation), pictures(1), layer="conv2" if "cam" in method else None, method=method)

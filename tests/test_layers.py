"""The modules against torch.nn's own, on odd shapes, with random upstream gradients (seeds stated)."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.layers import AveragePool2D, Conv2D, Flatten, MaxPool2D, Residual, Whitening, flatten, relu, tanh


def gradients(layer: nn.Module, x: Tensor, seed: int = 1) -> list[Tensor]:
    """[output, gradient of the input, gradients of the parameters] for a random upstream gradient."""
    x = x.clone().requires_grad_()
    y = layer(x)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)
    return [y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], upstream)]


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding"),
    [(3, 1, 1), ((2, 3), (2, 1), (1, 0)), (5, 2, 0), ((3, 1), 1, "same")],
)
@pytest.mark.parametrize("bias", [True, False])
def test_conv_equals_torch(kernel_size: int, stride: int, padding: int, bias: bool) -> None:
    torch.manual_seed(0)
    ours = Conv2D(3, 4, kernel_size, stride, padding, bias).double()
    theirs = nn.Conv2d(3, 4, kernel_size, stride, padding, bias=bias).double()
    if ours.bias is not None:
        nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 9, 7, dtype=torch.float64)
    for ours_value, theirs_value in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(ours_value, theirs_value, rtol=1e-12, atol=1e-12)


def test_conv_starts_with_xaviers_law() -> None:
    torch.manual_seed(0)
    layer = Conv2D(32, 64, 3)
    bound = (6 / (32 * 9 + 64 * 9)) ** 0.5  # eq. 16 of Glorot & Bengio
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.any()
    assert layer.weight.requires_grad


def test_conv_shows_the_shapes_of_a_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"input \(8, 1, 28, 28\).*\(N, 3, H, W\)"):
        Conv2D(3, 4, 3)(torch.zeros(8, 1, 28, 28))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": (3, 3, 3)}, r"Conv2D got kernel_size \(3, 3, 3\); expected an integer or a pair"),
        ({"kernel_size": 3, "stride": 0}, "Conv2D got stride 0"),
        ({"kernel_size": 3, "padding": -1}, "Conv2D got padding -1"),
        ({"kernel_size": 3, "padding": "full"}, "Conv2D got padding 'full'"),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, "needs stride 1"),
    ],
)
def test_conv_refuses_what_makes_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conv2D(3, 4, **arguments)


@pytest.mark.parametrize("kernel_size", [2, (3, 2)])
@pytest.mark.parametrize("stride", [None, 1, (2, 3)])
@pytest.mark.parametrize("padding", [0, 1])
def test_pooling_equals_torch(kernel_size: int, stride: int | None, padding: int) -> None:
    x = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [
        (MaxPool2D(kernel_size, stride, padding), nn.MaxPool2d(kernel_size, stride, padding)),
        (AveragePool2D(kernel_size, stride, padding), nn.AvgPool2d(kernel_size, stride, padding)),
    ]
    for ours, theirs in pairs:
        for ours_value, theirs_value in zip(gradients(ours, x), gradients(theirs, x), strict=True):
            torch.testing.assert_close(ours_value, theirs_value)


def test_residual_adds_the_input_or_the_shortcut() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5, 4)
    branch, shortcut = Conv2D(3, 3, 3, padding=1), Conv2D(3, 3, 1)
    torch.testing.assert_close(Residual(branch)(x), branch(x) + x)
    torch.testing.assert_close(Residual(branch, shortcut)(x), branch(x) + shortcut(x))


def test_functions() -> None:
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(relu(x), x.clamp(min=0))
    assert torch.equal(tanh(x), x.tanh())
    assert torch.equal(flatten(x), x.reshape(2, 60))
    assert torch.equal(Flatten()(x), x.reshape(2, 60))


def test_whitening_makes_the_channels_uncorrelated_and_equally_strong() -> None:
    images = smooth(600, 9, 7)
    layer = Whitening(3)
    layer.fit(images)
    y = layer(images)
    assert y.shape == (600, 24, 8, 6)
    torch.testing.assert_close(y[:, 12:], -y[:, :12])
    flat = y[:, :12].transpose(0, 1).flatten(1).double()
    found = flat @ flat.T / flat.shape[1]
    patches = F.unfold(images.double(), 2).transpose(0, 1).flatten(1)
    strengths = torch.linalg.eigvalsh(patches @ patches.T / patches.shape[1]).flip(0)
    expected = strengths / (strengths + 5e-4)  # 1 but for directions in which next to nothing happens
    assert expected[0] > 0.99
    assert expected[-1] < 0.9
    torch.testing.assert_close(found, torch.diag(expected), rtol=0, atol=1e-4)


def test_whitening_is_fixed_and_comes_out_the_same_again() -> None:
    images = smooth(30, 5, 5)
    first, second = Whitening(3), Whitening(3)
    first.fit(images)
    second.fit(images)
    assert torch.equal(first.weight, second.weight)
    assert not first.weight.requires_grad
    second.fit(images[:10])
    assert not torch.equal(first.weight, second.weight)


def smooth(n: int, height: int, width: int) -> torch.Tensor:
    """Pictures whose neighbouring pixels and channels say nearly the same, as photographs do, (N, 3, H, W)."""
    generator = torch.Generator().manual_seed(5)
    rough = torch.randn(n, 1, height + 4, width + 4, generator=generator)
    return F.avg_pool2d(rough, 5, stride=1) * torch.tensor([5.0, 4.0, 4.5]).view(1, 3, 1, 1) + 0.03 * torch.randn(
        n, 3, height, width, generator=generator
    )

"""Every registered model, converted, gives what PyTorch gives: forward, and gradients by the NumPy backward pass."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope import numpy_nn
from convscope.convert import to_numpy
from convscope.errors import UsageError
from convscope.layers import Conv2D
from convscope.models import MODELS, TinyResNet, build_model


def trained_looking(model: nn.Module) -> nn.Module:
    """`model` in float64 with random biases, BatchNorm weights and running statistics, none of them 0 or 1."""
    generator = torch.Generator().manual_seed(3)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.ndim == 1:
            low = 0.5 if name.endswith(("var", "weight")) else -0.5
            value.data.uniform_(low, low + 1, generator=generator)
    return model.double()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_values_and_gradients_agree(name: str, mode: str) -> None:
    torch.manual_seed(0)
    options = {"dropout": 0.0} if name == "deep-cnn" else {}
    model = trained_looking(build_model(name, (3, 14, 17), 5, **options)).train(mode == "train")
    network = to_numpy(model)
    x = torch.randn(4, 3, 14, 17, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, 5, dtype=torch.float64)
    logits = model(x)
    dx, *grads = torch.autograd.grad(logits, [x, *model.parameters()], upstream)

    np.testing.assert_allclose(network(x.detach().numpy()), logits.detach().numpy(), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(network.backward(upstream.numpy()), dx.numpy(), rtol=1e-7, atol=1e-10)
    ours = list(network.grads.values())
    assert len(ours) == len(grads)
    for mine, theirs in zip(ours, grads, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-7, atol=1e-9)


def test_layers_carry_their_torch_names() -> None:
    model = TinyResNet((1, 8, 8), 10, base_channels=4)
    network = to_numpy(model)
    names: list[str] = []

    def collect(layer: numpy_nn.Layer) -> None:
        names.append(layer.name)
        for child in getattr(layer, "layers", [getattr(layer, "branch", None), getattr(layer, "shortcut", None)]):
            if child is not None:
                collect(child)

    collect(network)
    assert sorted(names) == sorted(name for name, _ in model.named_modules())


def test_one_module_in_two_places_is_refused() -> None:
    shared = nn.ReLU()
    with pytest.raises(UsageError, match=r"cannot replay 3 in NumPy: it is 1 once more"):
        to_numpy(nn.Sequential(nn.Tanh(), shared, nn.Tanh(), shared))


def test_a_hook_may_change_what_is_computed_so_it_is_refused() -> None:
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    handle = model[1].register_forward_hook(lambda *_: torch.zeros(1))
    with pytest.raises(UsageError, match="cannot replay 1 in NumPy: it has forward hooks"):
        to_numpy(model)
    handle.remove()
    to_numpy(model)


def test_the_copy_is_its_own() -> None:
    model = Conv2D(1, 1, 1)
    network = to_numpy(model)
    with torch.no_grad():
        model.weight.fill_(5)
    assert network.params["weight"] != 5


class Strange(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Rewired(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Strange(), "cannot replay 1.0 in NumPy: unknown layer type Strange; known are AdaptiveAvgPool2d, "),
        (Rewired(nn.ReLU()), "unknown layer type Rewired"),
        (nn.Conv2d(1, 1, 1), "unknown layer type Conv2d"),
        (nn.AdaptiveAvgPool2d(2), "only output size 1 is known"),
        (nn.BatchNorm2d(3, affine=False), "lacks weights, momentum or running statistics"),
        (nn.GELU(approximate="tanh"), "tanh"),
    ],
    ids=["unknown", "rewired", "conv2d", "pool", "norm", "gelu"],
)
def test_what_is_unknown_is_refused_by_name(layer: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        to_numpy(nn.Sequential(nn.ReLU(), nn.Sequential(layer)))

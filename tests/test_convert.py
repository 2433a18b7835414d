"""Every registered model and every layer with a counterpart, converted: values and gradients are PyTorch's."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from convscope import numpy_nn
from convscope.convert import CONVERTERS, converts, to_numpy
from convscope.errors import UsageError
from convscope.layers import Conv2D, Residual
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
    with pytest.raises(UsageError, match="cannot replay 1 in NumPy: it has hooks"):
        to_numpy(model)
    handle.remove()
    to_numpy(model)


def test_the_copy_is_its_own() -> None:
    model = Conv2D(1, 1, 1)
    network = to_numpy(model)
    with torch.no_grad():
        model.weight.fill_(5)
    assert network.params["weight"] != 5


TWINS = {
    "conv": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2)),
    "conv, groups": nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
    "conv, dilation": nn.Conv2d(4, 2, (2, 3), dilation=(3, 2)),
    "conv, same": nn.Conv2d(4, 3, (3, 5), padding="same", dilation=(1, 2)),
    "conv, valid": nn.Conv2d(4, 3, 3, padding="valid"),
    "max pool": nn.MaxPool2d((2, 3), stride=(2, 4), padding=(0, 1), ceil_mode=True),  # the last row hangs over
    "max pool, floor": nn.MaxPool2d(2),
    "average pool": nn.AvgPool2d((2, 3), 2, padding=(0, 1), ceil_mode=True, count_include_pad=False),
    "average pool, padding counted": nn.AvgPool2d((2, 3), padding=1),
    "global pool": nn.AdaptiveAvgPool2d(1),
    "global pool, pair": nn.AdaptiveAvgPool2d((1, 1)),
    "norm": nn.BatchNorm2d(4, eps=0.1, momentum=0.3),
    "relu": nn.ReLU(inplace=True),
    "gelu": nn.GELU(),
    "tanh": nn.Tanh(),
    "dropout of nothing": nn.Dropout(0.0),
    "linear": nn.Linear(9, 5),
    "linear without bias": nn.Linear(9, 5, bias=False),
    "flatten": nn.Flatten(),
    "identity": nn.Identity(),
    "nested": nn.Sequential(nn.Sequential(nn.Conv2d(4, 2, 1)), nn.Sequential(), nn.Tanh()),
    "residual": Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), nn.Conv2d(4, 4, 1)),
    "residual, identity": Residual(nn.Tanh()),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_each_layer_of_pytorch_with_a_counterpart(name: str, mode: str) -> None:
    torch.manual_seed(4)
    module = trained_looking(copy.deepcopy(TWINS[name])).train(mode == "train")
    network = to_numpy(module)
    x = torch.randn(3, 4, 11, 9, dtype=torch.float64, requires_grad=True)
    y = module(x.clone())  # an in-place layer may not write over a leaf
    upstream = torch.randn_like(y)
    dx, *grads = torch.autograd.grad(y, [x, *module.parameters()], upstream)
    np.testing.assert_allclose(network(x.detach().numpy()), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(network.backward(upstream.numpy()), dx.numpy(), rtol=1e-9, atol=1e-12)
    for mine, theirs in zip(network.grads.values(), grads, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-9, atol=1e-11)


def test_the_running_statistics_follow_the_modules_momentum() -> None:
    torch.manual_seed(5)
    module = trained_looking(nn.BatchNorm2d(3, momentum=0.4)).train()
    network = to_numpy(module)
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    module(x), network(x.numpy())
    np.testing.assert_allclose(network.running_mean, module.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(network.running_var, module.running_var.numpy(), rtol=1e-12)


class Negate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x


def test_a_new_type_costs_a_few_lines() -> None:
    class Negation(numpy_nn.Layer):
        def _forward(self, x):  # type: ignore[no-untyped-def]
            return -x

        def _backward(self, dy):  # type: ignore[no-untyped-def]
            return -dy

    @converts(Negate)
    def negate(module: Negate, name: str) -> numpy_nn.Layer:
        return Negation()

    try:
        network = to_numpy(nn.Sequential(nn.Tanh(), Residual(Negate()), nn.Sequential(Negate())))
    finally:
        del CONVERTERS[Negate]
    assert network.layers[2].layers[0].name == "2.0"
    assert np.array_equal(network(np.ones((2, 3))), np.zeros((2, 3)))


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
        (nn.Dropout2d(0.5), "unknown layer type Dropout2d"),
        (
            nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
            "1.0 in NumPy: Conv2d with padding_mode='reflect'; only",
        ),
        (nn.MaxPool2d(2, dilation=2), r"MaxPool2d with dilation=2; only 1 or \(1, 1\) is known"),
        (nn.MaxPool2d(2, return_indices=True), "return_indices=True"),
        (nn.AvgPool2d(2, divisor_override=3), "AvgPool2d with divisor_override=3"),
        (nn.AdaptiveAvgPool2d(2), "AdaptiveAvgPool2d with output_size=2"),
        (nn.AdaptiveAvgPool2d((1, 2)), r"AdaptiveAvgPool2d with output_size=\(1, 2\)"),
        (nn.Flatten(0), "Flatten with start_dim=0; only 1 is known"),
        (nn.Flatten(1, 2), "Flatten with end_dim=2"),
        (nn.BatchNorm2d(3, affine=False), "BatchNorm2d with affine=False"),
        (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d with track_running_stats=False"),
        (nn.BatchNorm2d(3, momentum=None), "lacks momentum"),
        (nn.GELU(approximate="tanh"), "GELU with approximate='tanh'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_unknown_is_refused_by_name(layer: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        to_numpy(nn.Sequential(nn.ReLU(), nn.Sequential(layer)))


def replaced_forward(layer: nn.Module) -> None:
    layer.forward = lambda x: 0 * x  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (replaced_forward, "its forward was replaced"),
        (lambda layer: layer.register_full_backward_hook(lambda *_: None), "it has hooks"),
        (lambda layer: layer.half(), "weights of type torch.float16"),
        (lambda layer: layer.bfloat16(), "weights of type torch.bfloat16"),
        (lambda layer: layer.to("meta"), r"no numbers \(meta device\)"),
    ],
)
def test_what_would_compute_something_else_is_refused(spoil: Callable[[nn.Module], Any], reason: str) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 1))
    spoil(model[1])
    with pytest.raises(UsageError, match=f"cannot replay 1 in NumPy: .*{reason}"):
        to_numpy(model)

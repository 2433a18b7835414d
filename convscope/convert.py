"""A PyTorch model in, the same network made of `numpy_nn` layers out; what it does not know it refuses by name.

A layer type costs one function: it receives the module and its dotted name and returns the NumPy layer with the weights
in it. What the NumPy layer cannot do is refused, so that a conversion never computes something else in silence:

    @converts(nn.Softplus)
    def softplus(module: nn.Softplus, name: str) -> numpy_nn.Layer:
        require(module, name, beta=1)
        return Softplus()
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope import layers, numpy_nn
from convscope.errors import UsageError
from convscope.numpy_nn.sequential import Composite
from convscope.numpy_nn.shapes import IntPair

Array = NDArray[np.float32] | NDArray[np.float64]
Converter = TypeVar("Converter", bound=Callable[..., numpy_nn.Layer])

CONVERTERS: dict[type[nn.Module], Callable[..., numpy_nn.Layer]] = {
    layers.Flatten: lambda module, name: numpy_nn.Flatten(),
    nn.Dropout: lambda module, name: numpy_nn.Dropout(module.p),
    nn.Identity: lambda module, name: numpy_nn.Sequential(),
    nn.ReLU: lambda module, name: numpy_nn.ReLU(),
    nn.Tanh: lambda module, name: numpy_nn.Tanh(),
}


def to_numpy(model: nn.Module) -> numpy_nn.Layer:
    """The `numpy_nn` network that computes what `model` computes; every layer carries its PyTorch name.

    Weights and running statistics are copied, so changing one network leaves the other alone. The copy is in the
    model's mode (train or eval).

    Raises:
        UsageError: a module of a type, or with a setting, that has no counterpart here, one that stands in two places,
            one with hooks or a replaced `forward` that may change what it computes, or weights of another type than
            float32 and float64; the message gives its name.
    """
    names: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if (first := names.setdefault(module, name)) != name:
            raise refusal(name, f"it is {first} once more; give each place its own layer")
        hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
        if any(hooks):
            raise refusal(name, "it has hooks; remove them first")
        if "forward" in vars(module):
            raise refusal(name, "its forward was replaced; give it a class of its own")
        for value in module.parameters(recurse=False):
            if value.dtype not in (torch.float32, torch.float64) or value.is_meta:
                kind = "no numbers (meta device)" if value.is_meta else f"weights of type {value.dtype}"
                raise refusal(name, f"it has {kind}; only float32 and float64 are known")
    return convert(model, "")


def converts(*kinds: type[nn.Module]) -> Callable[[Converter], Converter]:
    """Decorator: the function ``(module, name) -> numpy_nn layer`` for modules of exactly these types."""

    def register(converter: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(kinds, converter))
        return converter

    return register


def convert(module: nn.Module, name: str) -> numpy_nn.Layer:
    """The counterpart of one module and all below it, for a converter that holds other layers."""
    converter = CONVERTERS.get(type(module))
    if converter is None:
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
            converter = _sequential
        else:
            known = ", ".join(sorted({cls.__name__ for cls in CONVERTERS}))
            raise refusal(name, f"unknown layer type {type(module).__name__}; known are {known} and sequences of these")
    layer = converter(module, name)
    layer.name = name
    return layer.train() if module.training else layer.eval()


def require(module: nn.Module, name: str, **settings: object) -> None:
    """Refuse a module with another setting than `numpy_nn` computes; a setting is a value, or a tuple of choices."""
    for setting, known in settings.items():
        value = getattr(module, setting)
        choices = known if isinstance(known, tuple) else (known,)
        if value not in choices:
            expected = " or ".join(map(repr, choices))
            raise refusal(name, f"{type(module).__name__} with {setting}={value!r}; only {expected} is known")


def refusal(name: str, why: str) -> UsageError:
    """The error that names the module."""
    return UsageError(f"cannot replay {name or 'the model'} in NumPy: {why}")


def with_parameters(layer: numpy_nn.Layer, module: nn.Module) -> numpy_nn.Layer:
    """`layer` holding copies of the module's own parameters, which go by the same names in both."""
    for key, parameter in module.named_parameters(recurse=False):
        layer.params[key] = array(parameter)
    return layer


def array(tensor: Tensor) -> Array:
    """A copy as a NumPy array."""
    return np.array(tensor.detach().cpu().numpy())


def numpy_state(network: numpy_nn.Layer) -> dict[str, Array]:
    """The parameters and running statistics of a converted network, themselves, under PyTorch's names."""
    norms = [layer for layer in leaves(network) if isinstance(layer, numpy_nn.BatchNorm2D)]
    statistics = {f"{layer.name}.running_mean": layer.running_mean for layer in norms}
    statistics |= {f"{layer.name}.running_var": layer.running_var for layer in norms}
    return named_arrays(network, lambda layer: layer.params) | statistics


def named_arrays(network: numpy_nn.Layer, of: Callable[[numpy_nn.Layer], Mapping[str, Array]]) -> dict[str, Array]:
    """The arrays of every layer under PyTorch's dotted names; in `params` and `grads` they go by position."""
    return {f"{layer.name}.{key}".lstrip("."): value for layer in leaves(network) for key, value in of(layer).items()}


def leaves(layer: numpy_nn.Layer) -> list[numpy_nn.Layer]:
    """Every layer that holds no other, in order."""
    if isinstance(layer, Composite):
        return [leaf for child in layer.children.values() for leaf in leaves(child)]
    return [layer]


@converts(nn.Sequential)
def _sequential(module: nn.Module, name: str) -> numpy_nn.Layer:
    prefix = f"{name}." if name else ""
    return numpy_nn.Sequential(*(convert(child, prefix + key) for key, child in module.named_children()))


@converts(layers.Residual)
def _residual(module: layers.Residual, name: str) -> numpy_nn.Layer:
    prefix = f"{name}." if name else ""
    branch = convert(module.branch, f"{prefix}branch")
    shortcut = None if module.shortcut is None else convert(module.shortcut, f"{prefix}shortcut")
    return numpy_nn.Residual(branch, shortcut)


@converts(layers.Conv2D, layers.Whitening, nn.Conv2d)
def _conv2d(module: layers.Conv2D | nn.Conv2d, name: str) -> numpy_nn.Layer:
    more: dict[str, Any] = {}
    if isinstance(module, nn.Conv2d):
        require(module, name, padding_mode="zeros")
        more = {"dilation": module.dilation, "groups": module.groups}
    layer = numpy_nn.Conv2D(
        module.in_channels,
        module.out_channels,
        (module.kernel_size[0], module.kernel_size[1]),
        (module.stride[0], module.stride[1]),
        0 if module.padding == "valid" else cast(IntPair | str, module.padding),
        bias=module.bias is not None,
        **more,
    )
    return with_parameters(layer, module)


@converts(layers.MaxPool2D)
def _max_pool(module: layers.MaxPool2D, name: str) -> numpy_nn.Layer:
    return numpy_nn.MaxPool2D(module.kernel_size, module.stride, module.padding)


@converts(nn.MaxPool2d)
def _torch_max_pool(module: nn.MaxPool2d, name: str) -> numpy_nn.Layer:
    require(module, name, dilation=(1, (1, 1)), return_indices=False)
    return numpy_nn.MaxPool2D(module.kernel_size, module.stride, module.padding, module.ceil_mode)


@converts(layers.AveragePool2D)
def _average_pool(module: layers.AveragePool2D, name: str) -> numpy_nn.Layer:
    return numpy_nn.AveragePool2D(module.kernel_size, module.stride, module.padding)


@converts(nn.AvgPool2d)
def _torch_average_pool(module: nn.AvgPool2d, name: str) -> numpy_nn.Layer:
    require(module, name, divisor_override=None)
    return numpy_nn.AveragePool2D(
        module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad
    )


@converts(nn.AdaptiveAvgPool2d)
def _global_average_pool(module: nn.AdaptiveAvgPool2d, name: str) -> numpy_nn.Layer:
    require(module, name, output_size=(1, (1, 1)))
    return numpy_nn.GlobalAveragePool2D()


@converts(nn.AdaptiveMaxPool2d)
def _global_max_pool(module: nn.AdaptiveMaxPool2d, name: str) -> numpy_nn.Layer:
    require(module, name, output_size=(1, (1, 1)), return_indices=False)
    return numpy_nn.GlobalMaxPool2D()


@converts(nn.Flatten)
def _flatten(module: nn.Flatten, name: str) -> numpy_nn.Layer:
    require(module, name, start_dim=1, end_dim=-1)
    return numpy_nn.Flatten()


@converts(nn.GELU)
def _gelu(module: nn.GELU, name: str) -> numpy_nn.Layer:
    require(module, name, approximate="none")
    return numpy_nn.GELU()


@converts(nn.BatchNorm2d)
def _batch_norm(module: nn.BatchNorm2d, name: str) -> numpy_nn.Layer:
    require(module, name, affine=True, track_running_stats=True)
    if module.momentum is None or module.running_mean is None or module.running_var is None:
        raise refusal(name, f"{module} lacks momentum or running statistics; only a fixed momentum is known")
    layer = numpy_nn.BatchNorm2D(module.num_features, module.eps, module.momentum)
    layer.running_mean, layer.running_var = array(module.running_mean), array(module.running_var)
    return with_parameters(layer, module)


@converts(nn.Linear)
def _linear(module: nn.Linear, name: str) -> numpy_nn.Layer:
    layer = numpy_nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
    return with_parameters(layer, module)

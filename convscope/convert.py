"""A PyTorch model in, the same network made of `numpy_nn` layers out; what it does not know it refuses by name.

A layer type costs one function here: it receives the module and returns the NumPy layer with the weights in it.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope import layers, numpy_nn
from convscope.errors import UsageError

Array = NDArray[np.float32] | NDArray[np.float64]


def to_numpy(model: nn.Module) -> numpy_nn.Layer:
    """The `numpy_nn` network that computes what `model` computes; every layer carries its PyTorch name.

    Weights and running statistics are copied, so changing one network leaves the other alone. The copy is in the
    model's mode (train or eval).

    Raises:
        UsageError: a module of a type that has no counterpart here, one that stands in two places, or one with hooks
            that may change what it computes; the message gives its name and type.
    """
    names: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if (first := names.setdefault(module, name)) != name:
            raise UsageError(f"cannot replay {name} in NumPy: it is {first} once more; give each place its own layer")
        if module._forward_hooks or module._forward_pre_hooks:
            raise UsageError(f"cannot replay {name or 'the model'} in NumPy: it has forward hooks; remove them first")
    return _convert(model, "")


def _convert(model: nn.Module, name: str) -> numpy_nn.Layer:
    """The counterpart of one module and all below it."""
    convert = CONVERTERS.get(type(model))
    if convert is None:
        if isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward:
            convert = _sequential
        else:
            known = ", ".join(sorted(cls.__name__ for cls in CONVERTERS))
            raise UsageError(
                f"cannot replay {name or 'the model'} in NumPy: unknown layer type {type(model).__name__}; "
                f"known are {known} and sequences of these"
            )
    layer = convert(model, name)
    layer.name = name
    return layer.train() if model.training else layer.eval()


def _sequential(module: nn.Module, name: str) -> numpy_nn.Layer:
    prefix = f"{name}." if name else ""
    return numpy_nn.Sequential(*(_convert(child, prefix + key) for key, child in module.named_children()))


def _residual(module: layers.Residual, name: str) -> numpy_nn.Layer:
    branch = _convert(module.branch, f"{name}.branch")
    shortcut = None if module.shortcut is None else _convert(module.shortcut, f"{name}.shortcut")
    return numpy_nn.Residual(branch, shortcut)


def _conv2d(module: layers.Conv2D, name: str) -> numpy_nn.Layer:
    layer = numpy_nn.Conv2D(
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        module.stride,
        module.padding,
        bias=module.bias is not None,
    )
    return _with_parameters(layer, module)


def _max_pool(module: layers.MaxPool2D, name: str) -> numpy_nn.Layer:
    return numpy_nn.MaxPool2D(module.kernel_size, module.stride, module.padding)


def _average_pool(module: layers.AveragePool2D, name: str) -> numpy_nn.Layer:
    return numpy_nn.AveragePool2D(module.kernel_size, module.stride, module.padding)


def _global_average_pool(module: nn.AdaptiveAvgPool2d, name: str) -> numpy_nn.Layer:
    if module.output_size not in (1, (1, 1)):
        raise UsageError(
            f"cannot replay {name} in NumPy: AdaptiveAvgPool2d({module.output_size}); only output size 1 is known"
        )
    return numpy_nn.GlobalAveragePool2D()


def _gelu(module: nn.GELU, name: str) -> numpy_nn.Layer:
    if module.approximate != "none":
        raise UsageError(f"cannot replay {name} in NumPy: GELU by {module.approximate}; only the exact one is known")
    return numpy_nn.GELU()


def _batch_norm(module: nn.BatchNorm2d, name: str) -> numpy_nn.Layer:
    mean, var = module.running_mean, module.running_var
    if module.momentum is None or not module.affine or mean is None or var is None:
        raise UsageError(f"cannot replay {name} in NumPy: {module} lacks weights, momentum or running statistics")
    layer = numpy_nn.BatchNorm2D(module.num_features, module.eps, module.momentum)
    layer.running_mean, layer.running_var = _array(mean), _array(var)
    return _with_parameters(layer, module)


def _linear(module: nn.Linear, name: str) -> numpy_nn.Layer:
    layer = numpy_nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
    return _with_parameters(layer, module)


def _with_parameters(layer: numpy_nn.Layer, module: nn.Module) -> numpy_nn.Layer:
    """`layer` holding copies of the module's own parameters, which go by the same names in both."""
    for key, parameter in module.named_parameters(recurse=False):
        layer.params[key] = _array(parameter)
    return layer


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.detach().cpu().numpy())


CONVERTERS: dict[type[nn.Module], Callable[..., numpy_nn.Layer]] = {
    layers.AveragePool2D: _average_pool,
    layers.Conv2D: _conv2d,
    layers.Flatten: lambda module, name: numpy_nn.Flatten(),
    layers.MaxPool2D: _max_pool,
    layers.Residual: _residual,
    nn.AdaptiveAvgPool2d: _global_average_pool,
    nn.BatchNorm2d: _batch_norm,
    nn.Dropout: lambda module, name: numpy_nn.Dropout(module.p),
    nn.GELU: _gelu,
    nn.Linear: _linear,
    nn.ReLU: lambda module, name: numpy_nn.ReLU(),
    nn.Sequential: _sequential,
    nn.Tanh: lambda module, name: numpy_nn.Tanh(),
}

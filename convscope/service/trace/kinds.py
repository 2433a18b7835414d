"""A layer or a function in; out comes what the page can compute again: its kind and the settings that decide it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from convscope import numpy_nn
from convscope.convert import convert
from convscope.errors import UsageError
from convscope.layers import Residual
from convscope.numpy_nn.shapes import convolution_edges

ACTIVATIONS: dict[type[numpy_nn.Layer], str] = {numpy_nn.ReLU: "relu", numpy_nn.GELU: "gelu", numpy_nn.Tanh: "tanh"}
ADDITIONS = frozenset({"add", "iadd", "radd"})


@dataclass(frozen=True)
class Kind:
    """What a node computes; `unknown` where nobody but PyTorch knows how.

    Attributes:
        name: input, conv, linear, batchnorm, activation, maxpool, avgpool, globalmax, globalavg, add, flatten, dropout
            or unknown.
        settings: plain values; sizes are (height, width) pairs, and `padding` is what is added above and on the left.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


UNKNOWN = Kind("unknown")


def layer_kind(module: nn.Module, name: str) -> Kind:
    """The kind of a layer: known is what `convert` can replay in NumPy, with the settings that it replays."""
    if "forward" in vars(module):
        return UNKNOWN
    try:
        layer = convert(module, name)
    except UsageError:
        return UNKNOWN
    match layer:
        case numpy_nn.Conv2D():
            edges = convolution_edges("Conv2D", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
            window = _window(layer) | {"padding": [edges[0][0], edges[1][0]], "dilation": list(layer.dilation)}
            return Kind("conv", window | {"groups": layer.groups})
        case numpy_nn.Linear():
            return Kind("linear")
        case numpy_nn.BatchNorm2D():
            return Kind("batchnorm", {"eps": layer.eps, "momentum": layer.momentum})
        case numpy_nn.GlobalMaxPool2D():  # itself a MaxPool2D
            return Kind("globalmax")
        case numpy_nn.GlobalAveragePool2D():
            return Kind("globalavg")
        case numpy_nn.MaxPool2D():
            return Kind("maxpool", _window(layer) | {"padding": list(layer.padding), "ceil_mode": layer.ceil_mode})
        case numpy_nn.AveragePool2D():
            window = _window(layer) | {"padding": list(layer.padding), "ceil_mode": layer.ceil_mode}
            return Kind("avgpool", window | {"count_include_pad": layer.count_include_pad})
        case numpy_nn.Flatten():
            return Kind("flatten")
        case numpy_nn.Dropout():
            return Kind("dropout", {"p": layer.p})
    function = ACTIVATIONS.get(type(layer))
    return Kind("activation", {"function": function}) if function else UNKNOWN


def function_kind(
    function: str, module: nn.Module, operands: Sequence[tuple[int, ...]], shape: tuple[int, ...]
) -> Kind:
    """The kind of a function that `module` calls with operands of these shapes, for an output of that shape.

    A name says enough where no argument could make it another function: not of pooling, nor of GELU.
    """
    if type(module) is Residual or (function in ADDITIONS and list(operands) == [shape, shape]):
        return Kind("add")
    if function in ("relu", "tanh"):
        return Kind("activation", {"function": function})
    if function == "flatten" and len(shape) == 2:
        return Kind("flatten")
    return UNKNOWN


def _window(layer: numpy_nn.Conv2D | numpy_nn.MaxPool2D | numpy_nn.AveragePool2D) -> dict[str, Any]:
    return {"kernel_size": list(layer.kernel_size), "stride": list(layer.stride)}

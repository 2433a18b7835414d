"""ImageClassifier: a network as a named sequence of layers that knows its input, its sizes and its CAM layer."""

import copy
import math
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from convscope.errors import UsageError
from convscope.layers import Conv2D

Shape = tuple[int, int, int]  # (C, H, W)
LARGE = 2**20  # numbers of a picture, beyond which the outputs of all layers together take gigabytes


class NamedLayers(nn.Sequential):
    """A sequence of named layers; a slice of it is a plain `nn.Sequential` of the same layers."""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)


class ImageClassifier(NamedLayers):
    """What all our models are: layers in the order in which they run, each under its name.

    Attributes:
        in_shape: (C, H, W) of one picture.
        num_classes: number of logits.
        cam_layer: dotted name of the last layer whose output is at least 4×4 for that input, where a class
            activation map still says *where*; None if the input is so small that there is no such layer. A bare
            convolution is passed over: what of its output counts, the layers behind it decide.
    """

    def __init__(self, in_shape: Shape, num_classes: int, layers: "OrderedDict[str, nn.Module]") -> None:
        super().__init__(layers)
        self.in_shape, self.num_classes = in_shape, num_classes
        self.cam_layer = next(
            (
                name
                for name, shape in reversed(layer_shapes(self, in_shape))
                if len(shape) == 3 and min(shape[1:]) >= 4 and not isinstance(self.get_submodule(name), Conv2D)
            ),
            None,
        )


def check_shape(model: str, in_shape: Shape, num_classes: int, smallest: int) -> Shape:
    """`in_shape` as a tuple of three positive integers with H and W at least `smallest`, or a UsageError."""
    shape = tuple(in_shape)
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UsageError(f"{model} got in_shape {in_shape}; expected (channels, height, width), all positive")
    if min(shape[1:]) < smallest:
        raise UsageError(
            f"{model} got {shape[1]}×{shape[2]} pictures (in_shape {shape}); "
            f"the smallest that works is {smallest}×{smallest}"
        )
    if num_classes < 2:
        raise UsageError(f"{model} got num_classes {num_classes}; a classifier needs at least 2")
    return shape


def flat_size(layers: nn.Module, in_shape: Shape) -> int:
    """How many numbers `layers` gives for one picture: measured by running it, never assumed."""
    return layer_shapes(layers, in_shape)[-1][1][0]


def layer_shapes(model: nn.Module, in_shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    """(dotted name, output shape without the batch axis) of every layer, in the order in which they finish.

    A module that holds others is a layer where its output is its own (a residual sum), not passed on from inside.
    Large pictures go through a copy on PyTorch's "meta" device, which knows sizes but has no numbers.
    """
    if math.prod(in_shape) > LARGE:
        model = copy.deepcopy(model).to("meta")
    shapes: list[tuple[str, tuple[int, ...]]] = []
    outputs: list[torch.Tensor] = []  # kept, so that no other tensor can take their place in memory
    modes = {module: module.training for module in model.modules()}

    def note(name: str, module: nn.Module, output: torch.Tensor) -> None:
        if not any(module.children()) or not any(output is earlier for earlier in outputs):
            shapes.append((name, tuple(output.shape[1:])))
        outputs.append(output)

    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
        for name, module in model.named_modules()
    ]
    reference = next(model.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *in_shape, dtype=reference.dtype, device=reference.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return shapes


def named(**layers: nn.Module) -> "OrderedDict[str, nn.Module]":
    """Layers under their names, in the order given."""
    return OrderedDict(layers)

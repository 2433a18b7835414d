"""A model in; the learned kernels of one of its convolutions out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convscope.errors import UsageError


def learned_filters(model: nn.Module, layer: str | None = None) -> tuple[str, NDArray[np.float32]]:
    """The kernels of a two-dimensional convolution, copied: what is done to them does not reach the model.

    A convolution is any module with a `weight` (O, I, KH, KW), so also one that is not torch's own;
    transposed convolutions are not, their first two axes mean something else.

    Args:
        model: any module.
        layer: the dotted name of a convolution; None takes the first in the order of definition.

    Returns:
        (name, kernels): kernels float32, (O, I, KH, KW), I input channels a group.

    Raises:
        UsageError: the model has no convolution, or `layer` is not one; the message lists the choices.
    """
    convolutions = {name: weight for name, module in model.named_modules() if (weight := _kernels(module)) is not None}
    if not convolutions:
        raise UsageError(f"{type(model).__name__} has no two-dimensional convolution, so no filters to show")
    learned = [name for name, weight in convolutions.items() if weight.requires_grad]
    name = [*learned, *convolutions][0] if layer is None else layer
    if name not in convolutions:
        modules = dict(model.named_modules())
        what = f"is a {type(modules[name]).__name__}, not a convolution" if name in modules else "does not exist"
        raise UsageError(f"layer {name!r} {what}; choose from {', '.join(convolutions)}")
    kernels: NDArray[np.float32] = convolutions[name].detach().to("cpu", torch.float32, copy=True).numpy()
    return name, kernels


def _kernels(module: nn.Module) -> Tensor | None:
    """The module's weight if it is that of a two-dimensional convolution."""
    weight = getattr(module, "weight", None)
    transposed = getattr(module, "transposed", False)
    return weight if isinstance(weight, Tensor) and weight.ndim == 4 and not transposed else None
